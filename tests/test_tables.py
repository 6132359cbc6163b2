"Tables as spreadsheets, databases and people write them: the text that stands in them is read, or one line says what is amiss."
import csv
import io
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fastbook_notes.data.dataset_checks import check_dataset
from fastbook_notes.data.datasets import get_dataset
from fastbook_notes.data.tables import check_table, is_valid_of, read_table, split_labels, table_problems, without_rows
from fastbook_notes.errors import NotesError

HEADER = ['fname', 'labels', 'is_valid']
ROWS = [['1.png', 'cat dog', 'False'], ['zwei drei.png', 'Köter', 'True'], ['3.png', '', 'FALSE'], ['a, "b"\nc.png', 'NA', 'TRUE']]


def as_csv(rows=ROWS, header=HEADER, **options):
    "What Python's csv module writes; its default dialect is called excel"
    text = io.StringIO(newline='')
    csv.writer(text, **options).writerows([header, *rows])
    return text.getvalue()


def by_hand(text):
    "What Excel and LibreOffice write ends its lines by CR and LF"
    return text.replace('\n', '\r\n').encode('cp1252')


TWO = [['1.png', 'cat', '1'], ['2.png', 'dog', '0']]

# Bytes as programs write them, with the (fname, labels, is_valid) that they mean, as they stand there
WRITTEN = {
    'csv': (as_csv().encode(), ROWS),
    'csv, unix': (as_csv(dialect='unix').encode(), ROWS),
    'csv, tabs': (as_csv(dialect='excel-tab').encode(), ROWS),
    'pandas': (pd.DataFrame(ROWS, columns=HEADER).to_csv(index=False).encode(), ROWS),
    'pandas, with its index': (pd.DataFrame(ROWS, columns=HEADER).to_csv().encode(), ROWS),
    'pandas, everything quoted': (pd.DataFrame(ROWS, columns=HEADER).to_csv(index=False, quoting=csv.QUOTE_ALL).encode(), ROWS),
    'Excel, CSV UTF-8': (as_csv().encode('utf-8-sig'), ROWS),
    'Excel, Unicode text': (as_csv(delimiter='\t').encode('utf-16'), ROWS),
    'UTF-16, the other way round': (as_csv(delimiter='\t').encode('utf-16-be').join((b'\xfe\xff', b'')), ROWS),
    'LibreOffice': (as_csv(quoting=csv.QUOTE_NONNUMERIC).encode(), ROWS),
    'LibreOffice, vertical bars': (as_csv(delimiter='|').encode(), ROWS),
    'Excel in Germany': (by_hand('fname;labels;is_valid\nzwei drei.png;Köter;WAHR\n1.png;"cat";FALSCH\n'),
                         [['zwei drei.png', 'Köter', 'WAHR'], ['1.png', 'cat', 'FALSCH']]),
    'Excel in Germany, empty columns and rows': (by_hand('fname;labels;is_valid;;\n1.png;cat;1;;\n;;;;\n2.png;dog;0;;\n;;;;\n'), TWO),
    'Excel, told the separator': (by_hand('sep=;\nfname;labels;is_valid\n1.png;cat;1\n'), [['1.png', 'cat', '1']]),
    'Excel, told that it is a tab': (b'"sep=\t"\r\nfname\tlabels\tis_valid\r\n1.png\tcat\t1\r\n', [['1.png', 'cat', '1']]),
    'told a separator of its own': (b'sep=:\nfname:labels:is_valid\n1.png:cat:1\n', [['1.png', 'cat', '1']]),
    'Excel on an old Mac': (b'fname,labels,is_valid\r1.png,cat,1\r2.png,dog,0\r', TWO),
    'blanks after commas': (b'fname, labels, is_valid\n1.png, cat dog, True\n', [['1.png', ' cat dog', ' True']]),
    'no end of the last line': (b'fname,labels,is_valid\n1.png,cat,1', [['1.png', 'cat', '1']]),
    'short rows and blank lines': (b'\nfname,labels,is_valid,note\n\n1.png,cat,1\n  \n2.png,dog,0,x\n', TWO),
    'columns in another order': (b'is_valid,note,labels,fname\n1,x,cat,1.png\n', [['1.png', 'cat', '1']]),
    'numbers': (b'fname,labels,is_valid\n1.png,007,True\n2.png,,False\n3.png,1e5,False\n4.png,12,False\n',
                [['1.png', '007', 'True'], ['2.png', '', 'False'], ['3.png', '1e5', 'False'], ['4.png', '12', 'False']]),
    'words that mean nothing to pandas': (
        b'fname,labels,is_valid\n1.png,None,True\n2.png,NA,False\n3.png,null nan,False\n4.png,N/A,False\n',
        [['1.png', 'None', 'True'], ['2.png', 'NA', 'False'], ['3.png', 'null nan', 'False'], ['4.png', 'N/A', 'False']]),
    'labels with commas': (b'fname,labels,is_valid\n1.png,"cat, dog",1\n2.png,bus,0\n', [['1.png', 'cat dog', '1'], ['2.png', 'bus', '0']]),
    'labels with semicolons': (b'fname,labels,is_valid\n1.png,cat;dog;,1\n2.png,,0\n', [['1.png', 'cat dog', '1'], ['2.png', '', '0']]),
    'labels with line ends of an old Mac': (b'fname,labels,is_valid\n1.png,"cat\rdog\r",1\n2.png,"bus\r",0\n',
                                            [['1.png', 'cat\rdog\r', '1'], ['2.png', 'bus\r', '0']]),
    'labels with vertical bars': (b'fname,labels,is_valid\n1.png,cat|dog,1\n', [['1.png', 'cat dog', '1']]),
    'labels with commas between semicolons': (b'fname;labels;is_valid\n1.png;cat,dog;1\n', [['1.png', 'cat dog', '1']]),
}


@pytest.mark.parametrize('name', WRITTEN)
def test_what_programs_write_is_read(tmp_path, name):
    data, rows = WRITTEN[name]
    (tmp_path/'train.csv').write_bytes(data)
    for table in (read_table(tmp_path), read_table(str(tmp_path/'train.csv'))): assert table[HEADER].values.tolist() == rows


@pytest.mark.parametrize('name', [name for name in WRITTEN if not name.startswith(('labels', 'blanks', 'Excel, told', 'told'))])
def test_as_pandas_reads_it(tmp_path, name):
    "Told the separator and the encoding, and that text is text, pandas reads the same"
    data, _ = WRITTEN[name]
    (tmp_path/'train.csv').write_bytes(data)
    encoding = 'utf-16' if data[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig' if b'\xc3' in data or b'\xf6' not in data else 'cp1252'
    header = data.decode(encoding).strip().splitlines()[0]
    separator = next(s for s in ',;\t|' if s in header)
    expected = pd.read_csv(tmp_path/'train.csv', sep=separator, encoding=encoding, dtype=str, keep_default_na=False).fillna('')
    expected = expected[(expected[HEADER].apply(lambda column: column.str.strip()) != '').any(axis=1)]
    assert read_table(tmp_path)[HEADER].values.tolist() == expected[HEADER].values.tolist()


def test_a_field_with_an_old_macs_line_ends_has_the_same_labels(tmp_path):
    "Between quotes a CR is part of the field, and stands between labels like a space"
    (tmp_path/'train.csv').write_bytes(b'fname,labels,is_valid\r\n1.png,"cat\rdog\r",1\r\n2.png,"bus\r\n",0\r\n')
    assert [split_labels(field) for field in read_table(tmp_path)['labels']] == [['cat', 'dog'], ['bus']]


def test_the_same_frame_as_pandas():
    scenes = get_dataset('PASCAL_2007', 'sample')
    pd.testing.assert_frame_equal(read_table(scenes), pd.read_csv(scenes/'train.csv', dtype=str, keep_default_na=False))


def test_random_tables_are_read_as_they_were_written(tmp_path):
    "Any separator, quoting and encoding; any text in the fields"
    rng = np.random.default_rng(0)
    name, word, note = list('abcAB  01,;|"\'\n\t_-äÖß猫🐈'), list('abcAB01"\'_-äÖß猫🐈'), list(' ,;|"\n\tx')
    for _ in range(300):
        text = lambda letters, n: ''.join(rng.choice(letters, n))
        rows = [[text(name, 6) + 'x', f'{text(word, 3)} {text(word, 2)}', str(rng.integers(2)), text(note, 4)] for _ in range(4)]
        options = dict(delimiter=str(rng.choice(list(',;\t|'))), lineterminator=str(rng.choice(['\n', '\r\n'])),
                       quoting=int(rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])))
        data = as_csv(rows, [*HEADER, 'note'], **options).encode(str(rng.choice(['utf-8', 'utf-8-sig', 'utf-16'])))
        (tmp_path/'train.csv').write_bytes(data)
        assert read_table(tmp_path).values.tolist() == rows


# Bytes of a table, with what the line says
REFUSED = {
    'no file': (None, "train.csv can't be read as a table (No such file"),
    'nothing': (b'', 'no column fname and no column labels and no column is_valid; its header is empty'),
    'NUL': (b'\0\0', 'no column fname'),
    'no header': (b'1.png,cat,True\n', 'its header is 1.png, cat, True'),
    'a column missing': (b'fname,labels\n1.png,cat\n',
                         'no column is_valid; its header is fname, labels. It needs fname, labels, is_valid, separated by commas'),
    'a column missing, semicolons': (b'fname;labels\n1.png;cat\n', 'no column is_valid; its header is fname, labels.'),
    'an unknown separator': (b'fname:labels:is_valid\n1.png:cat:True\n',
                             'its header is fname:labels:is_valid. It needs fname, labels, is_valid, separated by commas'),
    'a column twice': (b'fname,labels,is_valid,labels\n1.png,cat,True,dog\n', 'two columns named labels'),
    'labels that need quotes': (b'fname,labels,is_valid\n1.png,cat,True\n2.png,cat,dog,True\n', 'Row 3 of '),
    'labels of two kinds': (b'fname,labels,is_valid\n1.png,"cat,dog",1\n2.png,bus,1\n3.png,bus car,0\n', "Row 4 of "),
    'labels of two words': (b'fname,labels,is_valid\n1.png,"polar bear, dog",1\n',
                            "labels are separated by ',' and ' '; put spaces between labels in all rows"),
    'labels of two separators': (b'fname,labels,is_valid\n1.png,cat;dog,1\n2.png,cat|dog,1\n', "separated by ';' and '|'"),
    'an open quote': (b'fname,labels,is_valid\n1.png,cat,1\n2.png,"cat,1\n', 'a quote in line 3 that is not closed'),
    'an open quote in a large table': (b'fname,labels,is_valid\n1.png,"cat,1\n' + b'2.png,cat,0\n'*50_000,
                                       'a quote in line 2 that is not closed'),
    'Russian': ('fname,labels,is_valid\n1.png,кошка,1\n'.encode('cp1251'),
                "isn't UTF-8 text (see its line 2); save it again as CSV with the encoding UTF-8, in Excel as 'CSV UTF-8'"),
    'Polish': ('fname;labels;is_valid\n1.png;pies łaciaty;1\n'.encode('cp1250'), "isn't UTF-8 text"),
    'Chinese': ('fname,labels,is_valid\n1.png,黑猫,1\n'.encode('gbk'), "isn't UTF-8 text"),
    'DOS': ('fname;labels;is_valid\n1.png;Köter;1\n'.encode('cp850'), "isn't UTF-8 text"),
    'half a UTF-16 character': (as_csv().encode('utf-16')[:-1], "isn't UTF-8 text"),
    'a million columns': (b'fname,labels,is_valid' + b','*1_000_000 + b'\n1.png,cat,1\n',
                          '1,000,003 columns, and more than 1,000 are not read; keep fname, labels, is_valid'),
    'short rows of many columns': (b'fname,labels,is_valid' + b','*900 + b'\n' + b'1.png,cat,1\n'*23_000,
                                   '23,000 rows of 903 columns, and more than 5,000,000 fields are not read'),
    'many rows': (b'fname,labels,is_valid\n' + b'a,b,1\n'*2_600_000, 'more than 5,000,000 lines or fields'),
    'told no separator': (b'sep=\r\nfname,labels,is_valid\r\n1.png,cat,1\r\n', "begins with 'sep=', which is to name the one character"),
    'told no separator, in quotes': (b'"sep="\nfname,labels,is_valid\n', 'write that character after the =, or remove the line'),
    'told two separators': (b'sep=;;\nfname;labels;is_valid\n1.png;cat;1\n', "begins with 'sep=;;'"),
    'told a quote': (b'sep="\nfname,labels,is_valid\n', 'which is to name the one character between two fields'),
    'a spreadsheet': (b'PK\x03\x04' + bytes(range(256)), "isn't UTF-8 text"),
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_is_not_clear_is_refused_in_one_line(tmp_path, name):
    data, said = REFUSED[name]
    if data is not None: (tmp_path/'train.csv').write_bytes(data)
    with pytest.raises(NotesError) as error: read_table(tmp_path)
    assert said in str(error.value) and len(str(error.value)) < 600 and str(error.value).isprintable() and 'train.csv' in str(error.value)


def make_scenes(root, text):
    "Pictures 0.png to 5.png, and a table"
    (root/'train').mkdir(parents=True)
    for i in range(6): Image.fromarray(np.random.default_rng(i).integers(0, 256, (48, 64, 3), dtype='uint8')).save(root/'train'/f'{i}.png')
    (root/'train.csv').write_text(text)
    return root


GOOD = ''.join(f'{i}.png,cat dog,{i > 3}\n' for i in range(6))

# Rows below the header, with what training and the check say, or '' if training takes them
TRAINED = {
    'good': (GOOD, ''),
    'words': (GOOD.replace('True', ' YES ').replace('False', 'no'), ''),
    'numbers': (GOOD.replace('True', '1').replace('False', '0.0'), ''),
    'no number': (GOOD.replace('True', '2', 1), "Row 6 of {table}: is_valid is '2'; write True or False"),
    'an empty is_valid': (GOOD.replace('1.png,cat dog,False', '1.png,cat dog,'), "Row 3 of {table}: is_valid is ''"),
    'a row passed over before it': ('\n,,\n' + GOOD.replace('True', 'x', 1), "Row 8 of {table}: is_valid is 'x'"),
    'no rows': ('', 'has no row for training'),
    'no training rows': (GOOD.replace('False', 'True'), 'has no row for training'),
    'one training row': (''.join(f'{i}.png,cat dog,{i > 0}\n' for i in range(6)), 'has one row for training'),
    'no validation rows': (GOOD.replace('True', 'False'), 'has no row for validation'),
    'no labels': (GOOD.replace('cat dog', ''), 'has no label in any row for training'),
    'no labels in validation': (GOOD.replace('cat dog,True', ' ,True'), 'has no label in any row for validation'),
    'some without labels': (GOOD.replace('cat dog', '', 2), ''),
    'a picture twice': (GOOD + '0.png,cat dog,False\n', 'Row 8 of {table} names 0.png once more'),
    'a picture twice, spelled otherwise': (GOOD + './0.png,cat dog,False\n', 'names ./0.png once more'),
    'a picture in both parts': (GOOD + '0.png,cat dog,True\n', 'Row 8 of {table} names 0.png for the other part'),
    'a picture that is missing': (GOOD + 'gone.png,cat,False\n', 'there is no picture'),
    'no name': (GOOD + ',cat,False\n', 'Row 8 of {table} names no picture'),
    'a folder': (GOOD + '.,cat,False\n', 'there is no picture'),
    'out of the folder': (GOOD + '../train/0.png,cat,False\n', 'lies outside'),
    'an absolute name': (GOOD + '{root}/train/0.png,cat,False\n', 'lies outside'),
}


@pytest.mark.parametrize('name', TRAINED)
def test_training_and_the_check_say_the_same(tmp_path, name):
    from fastbook_notes.multicat import multicat_dataloaders
    rows, said = TRAINED[name]
    root = make_scenes(tmp_path/'scenes', 'fname,labels,is_valid\n' + rows.replace('{root}', str(tmp_path/'scenes')))
    found, said = check_dataset(root), said.replace('{table}', str(root/'train.csv'))
    if said:
        with pytest.raises(NotesError) as error: multicat_dataloaders(root, size=32, bs=2)
        assert said in str(error.value) and str(error.value) in set(found.detail)
    else:
        assert found.empty
        multicat_dataloaders(root, size=32, bs=2).one_batch()


@pytest.mark.parametrize('name', REFUSED)
def test_an_unreadable_table_is_said_once_and_stops_training(tmp_path, name):
    data, said = REFUSED[name]
    if data is None: return
    root = make_scenes(tmp_path/'scenes', '')
    (root/'train.csv').write_bytes(data)
    found = check_dataset(root)
    assert len(found) == 1 and found.problem[0] == 'table' and said in found.detail[0]
    with pytest.raises(NotesError) as error: get_dataset('PASCAL_2007', root)
    assert said in str(error.value)


def test_a_table_of_ones_own_is_checked_too(tmp_path):
    root = make_scenes(tmp_path/'scenes', 'fname,labels,is_valid\n' + GOOD)
    labels = [['polar bear'], 'cat;dog', 7.0, None, 'NA', '']
    mine = pd.DataFrame({'fname': [f'{i}.png' for i in range(6)], 'labels': labels}, index=list('abcdef'))
    with pytest.raises(NotesError, match='no column is_valid'): check_table(mine, root/'train')
    mine['is_valid'] = [False, False, False, True, True, 'x']
    with pytest.raises(NotesError, match="Row f of the table: is_valid is 'x'"): check_table(mine, root/'train')
    mine['is_valid'] = [False, False, False, True, True, np.bool_(True)]
    assert table_problems(mine, root/'train') == []
    read = [split_labels(field) for field in check_table(mine, root/'train')['labels']]
    assert read == [['polar bear'], ['cat', 'dog'], ['7'], [], ['NA'], []]


def test_labels_of_any_row():
    from fastbook_notes.multicat import labels_of
    row = {'labels': 'cat dog cat'}
    several = ['cat', 'dog']
    for same in (row, pd.Series(row), namedtuple('Row', row)(**row), several, {'labels': several}, {'labels': np.array(several)}):
        assert labels_of(same) == ['cat', 'dog']
    assert labels_of({'labels': 7}) == labels_of({'labels': np.float64(7)}) == labels_of(pd.Series({'labels': '7'})) == ['7']
    assert labels_of({'tags': '1.5'}, 'tags') == ['1.5']
    for nothing in (None, float('nan'), pd.NA, pd.NaT, '', '  '): assert labels_of({'labels': nothing}) == []
    for odd in ('cat dog', 7, None):
        with pytest.raises(NotesError, match='no row of a table'): labels_of(odd)


def test_words_for_true_and_false_as_other_libraries_write_them():
    truth = np.array([True, False, True])
    columns = [*(truth.astype(kind) for kind in (bool, int, float, str, object)), [str(t).upper() for t in truth],
               pd.array(truth, dtype='boolean'), pd.Categorical(truth)]
    for column in columns:
        assert is_valid_of(pd.DataFrame({'is_valid': column})).tolist() == truth.tolist()


@pytest.mark.parametrize('name', WRITTEN)
def test_taking_rows_out_leaves_the_others_as_they_are(tmp_path, name):
    data, rows = WRITTEN[name]
    (tmp_path/'train.csv').write_bytes(data)
    before = read_table(tmp_path)[HEADER].values.tolist()
    assert without_rows(tmp_path/'train.csv', {'nobody.png'}) is None
    left = without_rows(tmp_path/'train.csv', {rows[0][0]})
    (tmp_path/'train.csv').write_bytes(left)
    assert read_table(tmp_path)[HEADER].values.tolist() == before[1:]
    assert len(left) < len(data) and data.startswith(left[:8])
