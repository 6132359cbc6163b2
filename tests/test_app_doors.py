"What an app does with requests that no page of its own makes."
import asyncio
import re
import urllib.request
from urllib.error import HTTPError

import pytest


def kernel_of(page): return re.search(r'"kernelId": *"([0-9a-f-]{36})"', page)[1]


@pytest.fixture(scope='module')
def line():
    "The app of the line, and the page of a visitor who followed a link with a script in it"
    from fastbook_notes.apps.serving import find_app, serving
    with serving(find_app('line'), 8730, report=str, base_url='https://pets.example/lines/') as (address, _):
        yield address, urllib.request.urlopen(f'{address}?theme=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&template=lab',
                                              timeout=120).read().decode()


def test_a_link_changes_nothing_of_the_page(line):
    assert 'alert(1)' not in line[1] and 'cdn.jsdelivr' not in line[1] and '<title>' in line[1]


@pytest.mark.parametrize('host, status',
                         [('evil.example', 403), ('93.184.216.34', 403), ('pets.example', 200), ('localhost', 200), ('127.0.0.1', 200)])
def test_only_known_hosts_are_answered(line, host, status):
    "Against a name that a page elsewhere points to this machine"
    asked = urllib.request.Request(f'{line[0]}api/kernels/{kernel_of(line[1])}', headers={'Host': host})
    try: found = urllib.request.urlopen(asked, timeout=30).status
    except HTTPError as e: found = e.code
    assert found == status


NONSENSE = {'nothing': b'', 'a count without end': b'\xff'*64, 'text': 'hello', 'a short message': bytes(16), 'a long text': 'x'*100_000}


@pytest.mark.parametrize('spoken', [True, False], ids=['v1', 'another protocol'])
@pytest.mark.parametrize('message', NONSENSE)
def test_nonsense_closes_its_connection_and_no_other(line, message, spoken):
    from tornado.websocket import websocket_connect

    from fastbook_notes.apps.launcher import V1
    async def talk():
        socket = await websocket_connect(f'{line[0].replace("http", "ws")}api/kernels/{kernel_of(line[1])}/channels',
                                         subprotocols=[V1] if spoken else [])
        await socket.write_message(NONSENSE[message], binary=isinstance(NONSENSE[message], bytes))
        while await socket.read_message() is not None: pass

    asyncio.run(asyncio.wait_for(talk(), 30))
    assert urllib.request.urlopen(f'{line[0]}voila/static/voila.js', timeout=10).status == 200
