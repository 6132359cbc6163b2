"How nbdev prepares a notebook for this site: each export gets an entry, its source stands below it, and names become links"
import ast
import inspect
import textwrap
from functools import cache, partial

import nbdev.processors
from fastcore.docments import DocmentTbl
from fastcore.nbio import mk_cell
from nbdev.doclinks import NbdevLookup, _lineno
from nbdev.process import Processor
from nbdev.processors import FilterDefaults, _default_exp, add_fold, add_links, add_show_docs, exec_show_docs, mv_exports
from nbdev.showdoc import BasicMarkdownRenderer, showdoc_nm

from fastbook_notes.chapters import CHAPTERS

nbdev.processors.get_config = cache(nbdev.processors.get_config) # Else pyproject.toml is read again for every cell
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
LESSONS = {chapter.module for chapter in CHAPTERS} # Their pages are read for the prose; code that a reader can do without is folded


@cache
def names() -> NbdevLookup:
    "Where the names of this package and of fastai are documented, and where ours are defined"
    return NbdevLookup(strip_libs=('fastbook_notes', 'fastai'), incl_libs=('fastbook_notes', 'fastbook-notes', 'fastai'))


def source_link(
    module:str, # Without the package, for two modules may have the same name
    name:str, # Of the function, class or method
) -> str|None: # None for what nbdev doesn't know
    "The line on GitHub where a module defines a name"
    found = names()[f'fastbook_notes.{module}.{name}']
    return found and f'{found[2]}#L{_lineno(name, found[1])}'


class Written:
    "A default as its author wrote it, in place of its value, which may be an array or a place in memory"
    def __init__(self, text): self.text = text
    def __repr__(self): return self.text


def written_defaults(
    symbol, # A function, method or class
) -> dict[str, Written]: # By parameter
    "The defaults of a signature, or of a data class's fields, as they stand in the source"
    try: node = ast.parse(textwrap.dedent(inspect.getsource(symbol))).body[0]
    except (OSError, TypeError, SyntaxError): return {}
    if isinstance(node, ast.ClassDef):
        fields = {item.target.id: item.value for item in node.body if isinstance(item, ast.AnnAssign) and item.value}
        node = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == '__init__'), None)
        if not node: return {name: Written(ast.unparse(value)) for name, value in fields.items()}
    positional = node.args.posonlyargs + node.args.args
    pairs = [*zip(reversed(positional), reversed(node.args.defaults)), *zip(node.args.kwonlyargs, node.args.kw_defaults)]
    return {argument.arg: Written(ast.unparse(value)) for argument, value in pairs if value is not None}


def brief_signature(
    name:str, # Of the function or class
    signature:inspect.Signature|None, # None if it can't be read
    defaults:dict[str, Written], # As they are written
    width:int=88, # Characters in a line
) -> str: # One line, or one for each parameter
    "Names and defaults; types are in the table"
    if signature is None: return f'{name}(...)'
    shown = lambda p: p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else defaults.get(p.name, Written('...')))
    parameters = [shown(p) for p in signature.parameters.values() if p.name != 'self']
    line = f'{name}{inspect.Signature(parameters)}'
    return line if len(line) <= width else f'{name}(\n' + ''.join(f'    {p},\n' for p in parameters) + ')'


def parameter_table(
    symbol, # A function, method or class
    defaults:dict[str, Written], # As they are written
) -> str: # Markdown, empty if no parameter is described
    "fastcore's table of docments"
    table = DocmentTbl(symbol)
    for name, parameter in table.dm.items():
        if parameter['default'] is not inspect.Parameter.empty: parameter['default'] = defaults.get(name, Written('...'))
    return table._repr_markdown_().strip().replace('|    |', '| **Name** |', 1)


def folded(summary:str, *parts:str) -> str: # Markdown
    "What opens on request"
    opening = f'`````{{=html}}\n<details class="code-fold"><summary>{summary}</summary>\n`````'
    return '\n\n'.join([opening, *filter(None, parts), '`````{=html}\n</details>\n`````'])


class Entry(BasicMarkdownRenderer):
    "An export as a heading, a link to its source, its signature, what it does, and a table of its parameters"
    def _repr_markdown_(self):
        source, defaults = source_link(self.module, self.nm), written_defaults(self.sym)
        link = f'[source]({source}){{.source-link aria-label="Source of {self.nm}"}}' if source else ''
        heading = f'{"#"*self.title_level} {self.nm} {{#{self.nm.lower()} .entry}}'
        signature, table = f'```python\n{brief_signature(self.nm, self.sig, defaults)}\n```', parameter_table(self.sym, defaults)
        if self.module in LESSONS: parts = [heading, link, self.docs, folded('Parameters', signature, table)]
        else: parts = [heading, link, signature, self.docs, table]
        return '\n\n'.join(part for part in parts if part)


def show_entry(
    symbol, # A function, class or method
    title_level:int=3, # Of its heading
    module:str='', # That the notebook exports to
) -> Entry:
    "What this site shows in place of nbdev's `show_doc`"
    entry = Entry(symbol, title_level=title_level)
    entry.module = module
    return entry


def is_public_method(node) -> bool:
    return isinstance(node, DEFINITIONS) and not node.name.startswith('_') and not node.decorator_list and bool(ast.get_docstring(node))


def entry_calls(cell) -> list[str]: # Source of a cell each
    "One call for each public definition of a cell, and for each documented method"
    calls = []
    for node in cell.parsed_() or []:
        if not isinstance(node, DEFINITIONS) or node.name.startswith('_'): continue
        defined = showdoc_nm(node)
        for name in defined if isinstance(defined, list) else [defined]:
            calls.append(f'show_doc({name}, title_level={4 if "." in name else 3})')
        if isinstance(node, ast.ClassDef):
            calls += [f'show_doc({node.name}.{method.name}, title_level=4)' for method in node.body if is_public_method(method)]
    return calls


class AddEntries(Processor):
    "Behind each cell that exports, a call for the entry of each name that it defines"
    def begin(self):
        cells = []
        for cell in self.nb.cells:
            cells.append(cell)
            cell.lesson_ = self.nb.module_ in LESSONS
            directives = getattr(cell, 'directives_', {})
            if cell.cell_type != 'code' or not {'export', 'exports'} & set(directives) or 'hide' in directives: continue
            directives['exports'] = directives.pop('export', '') # nbdev hides the source of `export` and shows that of `exports`
            calls = [mk_cell(call) for call in entry_calls(cell)]
            for call in calls: call.lesson_ = cell.lesson_
            cell.entries_ = len(calls)
            cells += calls
        self.nb.cells, self.nb.has_docs_ = cells, True


class RunEntries(exec_show_docs):
    "Run what defines, imports or shows an entry; only entries take their output from here, everything else keeps what is stored"
    def begin(self):
        super().begin()
        self.k.user_ns['show_doc'] = partial(show_entry, module=self.nb.module_)

    def __call__(self, cell):
        stored = cell.get('outputs', [])
        super().__call__(cell)
        if cell.cell_type != 'code': return
        if 'show_doc(' not in cell.source: cell.outputs = stored
        elif not any('text/markdown' in output.get('data', {}) for output in cell.outputs):
            raise ValueError(f'there is no entry for {cell.source}: {cell.outputs}')

    def end(self): pass


class SourceBelowEntries(Processor):
    "Each source moves behind its entries"
    def begin(self):
        cells, left = [], list(self.nb.cells)
        while left:
            source = left.pop(0)
            entries = getattr(source, 'entries_', 0)
            cells += [*left[:entries], source]
            left = left[entries:]
        self.nb.cells = cells


def is_import(node) -> bool:
    "Whether a statement only imports, quietly or not"
    if isinstance(node, ast.For): return all(map(is_import, node.body))
    return isinstance(node, (ast.Import, ast.ImportFrom)) or ast.unparse(node).startswith('import_quietly(')


def imports_only(cell) -> bool:
    body = cell.parsed_() or []
    return bool(body) and all(map(is_import, body))


def is_test(node) -> bool:
    "Whether a statement only makes sure of something"
    if isinstance(node, ast.With): return 'expect_fail' in ast.unparse(node.items[0])
    if isinstance(node, ast.For): return all(map(is_test, node.body))
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func)
    return isinstance(node, ast.Assert) or bool(called) and called.startswith('test_')


def draws(cell) -> bool:
    "Whether a cell takes more than three lines to show a figure"
    pictures = any('image/png' in output.get('data', {}) for output in cell.get('outputs', []))
    return pictures and 'plt.' in cell.source and len(cell.source.strip().splitlines()) > 3


def fold_summary(cell) -> str|None: # None for code that is to be read
    "What stands in place of folded code"
    body = cell.parsed_() or []
    if getattr(cell, 'entries_', 0): return 'Source'
    if imports_only(cell): return 'Imports'
    if not cell.lesson_ or not body: return None
    if 'exports' in getattr(cell, 'directives_', {}):
        return ', '.join(node.name for node in body if isinstance(node, DEFINITIONS)) or 'Code'
    if not cell.get('outputs') and all(map(is_test, body)): return 'Tests'
    return 'Code of the figure' if draws(cell) else None


def fold(cell):
    "Imports are folded away, and the source of an entry can be; in a lesson also what checks, tests and plots"
    if cell.cell_type != 'code' or not (summary := fold_summary(cell)): return
    state = 'show' if summary == 'Source' and not cell.lesson_ else 'true'
    cell.source = f'#| code-fold: {state}\n#| code-summary: "{summary}"\n{cell.source}'


def link_names(cell):
    "Names in backticks become links to their entries"
    if cell.cell_type == 'markdown': cell.source = names().linkify(cell.source)
    for output in cell.get('outputs', []):
        text = output.get('data', {}).get('text/markdown')
        if text: output['data']['text/markdown'] = names().linkify(text if isinstance(text, str) else ''.join(text))


class SiteFilter(FilterDefaults):
    "nbdev's processors, with the ones above in the places of its own"
    def base_procs(self):
        own = {add_show_docs: AddEntries, exec_show_docs: RunEntries, mv_exports: SourceBelowEntries, add_fold: fold, add_links: link_names}
        return [own.get(proc, proc) for proc in super().base_procs()]

    def nb_proc(self, nb):
        nb.module_ = _default_exp(nb) # Later that line is gone
        nb.metadata.pop('nbdev', None) # The record of the stored run, which nbdev would take for directives
        return super().nb_proc(nb)
