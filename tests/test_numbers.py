"""Every number in the prose of the notebooks has a cell nearby that computes or asserts it, or a source.

Nearby means: among the four code cells before it and the four after it, in the same section; for the summary and the first section,
anywhere. A number is borne out by a literal of the code that isn't a matter of style, or by a number of the stored output, that rounds
to it (20% also by 0.2). "Hundreds" needs a number of that size, "seconds" the word. A sentence with a link has its source in itself, a
year may stand among the sources at the chapter's end. "One" and "two" are passed over, because they mostly count what the sentence
itself names, and so are digits with an article ("a 3"), which are names. What is left has a mark in its cell:
`<!-- numbers: 28 (the figure) -->`."""
import ast
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from conftest import NOTEBOOKS, notebook_name

NEAR = 4
STYLE = set('''alpha capsize color dpi figsize fontsize fraction height hspace label left linewidth lw ms mutation_scale ncols nrows pad
               right rotation rounding_size shrink shrinkA shrinkB top width width_ratios wspace xlim xticks xytext ylim yticks'''.split())
SMALL = '''zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
           nineteen'''.split()
WORDS = dict(zip(SMALL, range(20))) | dict(zip('twenty thirty forty fifty sixty seventy eighty ninety'.split(), range(20, 100, 10)))
SCALES = {'hundred': 100, 'thousand': 1000, 'million': 10**6, 'billion': 10**9}
PARTS = {'half': 2, 'third': 3, 'quarter': 4, 'fifth': 5, 'sixth': 6, 'eighth': 8, 'tenth': 10, 'hundredth': 100}
LARGE = {'dozens': (24, 200), 'hundreds': (100, 10_000), 'thousands': (1000, 10**6), 'millions': (10**6, 10**9)}


def any_of(words): return '|'.join(sorted(words, key=len, reverse=True))


CARDINAL = rf"(?:{any_of(WORDS)})(?:-(?:{any_of(SMALL[1:10])}))?"
DIGITS = r'\d+(?:,\d\d\d)*(?:\.\d+)?(?:e[+-]?\d+)?'
NUMBER = re.compile(rf'(?<![\w.])(?<![A-Za-z]-)(?:(?P<digits>{DIGITS})(?P<percent>%| per cent)?(?: (?P<times>{any_of(SCALES)}))?'
                    rf'|(?:(?P<count>an?|{CARDINAL})[ -])?(?P<part>{any_of(PARTS)})s?(?! an? )'
                    rf'|(?:(?P<many>an?|{CARDINAL}) )?(?P<scale>{any_of(SCALES)})|(?P<word>{CARDINAL})|(?P<large>{any_of(LARGE)})'
                    rf'|(?P<unit>(?:micro|milli)?seconds|minutes|hours))(?!\w)', re.IGNORECASE)
LINK = re.compile(r'(?<!!)\[([^\]]*)\]\((https?:)?[^)]*\)')
NOT_PROSE = re.compile(r'```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|!\[[^\]]*\]\([^)]*\)|<!--.*?-->|^(?::::|#|\|)[^\n]*$|^\d+\. '
                       r'|\b[Cc]hapters? \d(?:(?:, | and | to )\d)*|\bet al\. \d{4}|\b(?:an?|ideal) \d(?!\w|[.,]\d)',
                       re.DOTALL | re.MULTILINE)


def cardinal(word):
    "`thirty-seven` as 37"
    return sum(WORDS.get(part, 1) for part in (word or 'a').lower().split('-'))


def values(number):
    "What a number of the prose says: pairs of a value and how far a computed one may be from it"
    digits = (number['digits'] or '').replace(',', '')
    if digits:
        value, reach = float(digits), 0.5*10**-len(digits.partition('e')[0].partition('.')[2])
        if number['percent']: return [(value/100, reach/100)] + ([(value, 1e-9)] if '.' in digits else [])
        return [(value, reach), (value*SCALES.get((number['times'] or '').lower(), 1), reach)]
    if number['part']: return [(cardinal(number['count'])/PARTS[number['part'].lower()], 0.005), (PARTS[number['part'].lower()], 1e-9)]
    if number['scale']: return [(cardinal(number['many'])*SCALES[number['scale'].lower()], 0.5)]
    return [(cardinal(number['word']), 0.5)]


def numbers_of_code(source):
    "The numbers in a cell's code, without those that are a matter of style"
    tree = ast.parse('\n'.join(line for line in source.splitlines() if not line.startswith(('%', '!'))))
    style = {id(node) for keyword in ast.walk(tree) if isinstance(keyword, ast.keyword) and keyword.arg in STYLE
             for node in ast.walk(keyword.value)}
    nodes = [node for node in ast.walk(tree) if id(node) not in style]
    names = [node.attr if isinstance(node, ast.Attribute) else node.id for node in nodes if isinstance(node, (ast.Attribute, ast.Name))]
    return ({abs(node.value) for node in nodes if isinstance(node, ast.Constant) and type(node.value) in (int, float)}
            | {int(found[0]) for name in names if (found := re.search(r'(?<=[a-z])\d+$', name))}) # e.g. `torch.float32`


def text_of_outputs(cell):
    shown = [output.text if output.output_type == 'stream' else
             ' '.join(''.join(output.get('data', {}).get(mime, '')) for mime in ('text/plain', 'text/html', 'text/markdown'))
             for output in cell.outputs]
    return re.sub(r'<[^>]+>', ' ', ' '.join(shown))


class Evidence:
    "What some code cells compute"
    def __init__(self, cells):
        shown = ' '.join(map(text_of_outputs, cells))
        self.text = shown + ' '.join(cell.source for cell in cells)
        self.numbers = {number for cell in cells for number in numbers_of_code(cell.source)}
        self.numbers |= {float(found.replace(',', '')) for found in re.findall(rf'(?<![\w.]){DIGITS}', shown)}
        self.numbers |= {float(found.replace(',', ''))/100 for found in re.findall(rf'(?<![\w.])({DIGITS})%', self.text)}

    def bears_out(self, number):
        if number['large']:
            low, high = LARGE[number['large'].lower()]
            return any(low <= n < high for n in self.numbers)
        if number['unit']: return re.sub('micro|milli|s$', '', number['unit'].lower()) in self.text
        return any(abs(n - value) <= reach*(1 + 1e-9) for value, reach in values(number) for n in self.numbers)


def sections(notebook):
    "The cells from one heading of level 1 to 3 to the next"
    found = [[]]
    for cell in notebook.cells:
        if cell.cell_type == 'markdown' and re.match('#{1,3} ', cell.source): found.append([])
        found[-1].append(cell)
    return [section for section in found if section]


def code_cells(cells): return [cell for cell in cells if cell.cell_type == 'code']


def sentences(source):
    "The prose of a cell, sentence by sentence, without code, formulas, headings, tables, pictures and marks; § stands for a source"
    text = LINK.sub(lambda link: link[1] + ' §'*bool(link[2]), NOT_PROSE.sub(' ', source))
    return [sentence for block in re.split(r'\n\s*\n|\n(?=- )', text) for sentence in re.split(r'(?<=[.?!])(?<! al\.)\s+', block)]


def without_a_cell(notebook) -> list[str]:
    "The numbers of the prose that nothing bears out, each with its sentence"
    everything, found = Evidence(code_cells(notebook.cells)), []
    parts = sections(notebook)
    sources = ' '.join(cell.source for part in parts for cell in part if part[0].source.startswith('## What this stands on'))
    for part in parts:
        if part[0].source.startswith('## What this stands on'): continue
        anywhere = part[0].source.startswith(('# ', '## Summary', '## What you will')) or not code_cells(part)
        for i, cell in enumerate(part):
            if cell.cell_type != 'markdown' or cell.source.startswith('| '): continue # Tables are made by programs
            near = everything if anywhere else Evidence(code_cells(part[:i])[-NEAR:] + code_cells(part[i:])[:NEAR])
            marks = ' '.join(re.findall(r'<!-- numbers: (.*?) -->', cell.source, re.DOTALL))
            found += [f'{number[0]} in: {" ".join(sentence.split())}' for sentence in sentences(cell.source) if '§' not in sentence
                      for number in NUMBER.finditer(sentence)
                      if (number['word'] or '').lower() not in ('one', 'two') and not near.bears_out(number)
                      and not (re.fullmatch('(19|20)..', number[0]) and number[0] in sources)
                      and not re.search(rf'(?<!\w){re.escape(number[0])}(?!\w)', marks)]
    return found


@pytest.mark.parametrize('path', NOTEBOOKS, ids=notebook_name)
def test_numbers_have_a_cell(path):
    assert without_a_cell(nbformat.read(path, as_version=4)) == []


# The test itself: what has no cell is refused, each kind of number in its own way.

def lesson(prose, *code, shown='', heading='## A section'):
    cells = [new_code_cell(source, outputs=[new_output('stream', name='stdout', text=shown)]) for source in code]
    return new_notebook(cells=[new_markdown_cell('# Title'), new_markdown_cell(heading), new_markdown_cell(prose), *cells])


BORNE_OUT = [('It is wrong for 20%.', 'assert error < 0.2', ''), ('It is wrong for 8%.', 'error', '0.083'), ('At 1,570 steps', 'n', '1570'),
             ('Thirty-seven breeds', 'test_eq(n, 37)', ''), ('In three quarters of them', 'assert share > 0.75', ''),
             ('a third of it', 'share', '0.333'), ('There are hundreds.', 'n', '588'), ('It takes seconds.', 'seconds', '2'),
             ('3.6 billion', 'test_close(n/1e9, 3.6)', ''), ('a hundred times', 'range(100)', ''), ('A 32-bit float', 'torch.float32', ''),
             ('12.1% of them', 'table', '12.1'), ('at most 15', 'assert n <= 15', ''), ('up to 4%', 'rate', '4%')]


@pytest.mark.parametrize('prose, code, shown', BORNE_OUT)
def test_a_number_with_a_cell_is_accepted(prose, code, shown):
    assert without_a_cell(lesson(prose, code, shown=shown)) == []


@pytest.mark.parametrize('prose, code, shown', [*[(prose, 'other', '') for prose, *_ in BORNE_OUT],
    ('It is wrong for 21%.', 'assert error < 0.2', ''), ('It is wrong for 9%.', 'error', '0.083'),
    ('Thirty-six breeds', 'test_eq(n, 37)', ''), ('There are thousands.', 'n', '588'), ('at most 14', 'assert n <= 15', ''),
    ('about 5', 'plt.plot(x, lw=5)', ''), ('10% more', 'n', '10'),
    ('a quarter of it', 'share', '0.333'), ('In 1986', 'n', '1'), ('It takes hours.', 'seconds', '2')])
def test_a_number_without_a_cell_is_refused(prose, code, shown):
    assert len(without_a_cell(lesson(prose, code, shown=shown))) == 1


@pytest.mark.parametrize('prose', ['One of two things', '`range(7)`', '$x = 7$', 'See chapter 7.', 'It is a 7, or an 8.', '```\n7\n```',
                                   '7 of them ([Ada 2021](https://a.example))', '<!-- numbers: 7 (the paper) -->There are 7.', '| 7 |'])
def test_what_is_no_number_or_has_a_source_is_passed_over(prose):
    assert without_a_cell(lesson(prose)) == []


def test_a_link_to_a_chapter_is_no_source():
    assert len(without_a_cell(lesson('[Here](05_pet_breeds.ipynb) are 7.', 'other'))) == 1


def test_a_cell_far_away_or_in_another_section_is_not_near():
    far = ['other']*NEAR + ['n = 7']
    assert len(without_a_cell(lesson('There are 7.', *far))) == 1 and without_a_cell(lesson('There are 7.', *far[1:])) == []
    elsewhere = lesson('There are 7.', 'other')
    elsewhere.cells += [new_markdown_cell('## Another'), new_code_cell('n = 7')]
    assert len(without_a_cell(elsewhere)) == 1
    elsewhere.cells[1].source = '## Summary'
    assert without_a_cell(elsewhere) == []
