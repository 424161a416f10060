"""What anyone knows without looking: arithmetic, units, terms of programming, pieces of the Python language.

Each entry is a sentence that answers, and the words a correct answer must hold.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from config.records import JsonObject


@dataclass(frozen=True)
class Unit:
    """`factor` of the small unit make one of the large."""

    large: str
    small: str
    factor: int


UNITS: Final = (
    Unit("hours", "minutes", 60),
    Unit("minutes", "seconds", 60),
    Unit("days", "hours", 24),
    Unit("weeks", "days", 7),
    Unit("years", "months", 12),
    Unit("metres", "centimetres", 100),
    Unit("kilometres", "metres", 1000),
    Unit("centimetres", "millimetres", 10),
    Unit("kilograms", "grams", 1000),
    Unit("litres", "millilitres", 1000),
    Unit("bytes", "bits", 8),
    Unit("kibibytes", "bytes", 1024),
    Unit("feet", "inches", 12),
    Unit("yards", "feet", 3),
    Unit("dozens", "pieces", 12),
    Unit("centuries", "years", 100),
    Unit("decades", "years", 10),
    Unit("quarters", "months", 3),
)

# term: (what it is, said after "<Term> is ", words an answer must hold one of)
TERMS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "a stack": ("a collection where the last item added is the first one removed", ("last", "LIFO")),
    "a queue": ("a collection where the first item added is the first one removed", ("first", "FIFO")),
    "a linked list": ("a sequence of nodes where each node points to the next", ("node", "nodes")),
    "a hash table": ("a structure that finds values by the hash of their key", ("key", "keys")),
    "a binary tree": ("a tree where every node has at most two children", ("two", "2")),
    "a graph": ("a set of nodes joined by edges", ("edges", "edge")),
    "a heap": ("a tree that keeps its smallest or largest item at the root", ("root", "top")),
    "an array": ("a sequence of items that are reached by their index", ("index", "indexes", "indices")),
    "recursion": ("a way to solve a problem by a function that calls itself", ("itself",)),
    "a closure": ("a function that remembers the variables of the scope it was made in", ("variables", "scope")),
    "a decorator": ("a function that wraps another function to change what it does", ("wraps", "function")),
    "a generator": ("a function that yields its values one at a time", ("yield", "yields", "values")),
    "an iterator": ("an object that gives its items one after the other", ("items", "elements", "next")),
    "inheritance": ("a way for a class to take over what another class defines", ("class", "classes")),
    "polymorphism": ("the use of one interface for objects of different types", ("types", "interface")),
    "encapsulation": ("the hiding of an object's state behind its methods", ("hiding", "state", "data")),
    "an interface": ("a description of the methods that a type offers", ("methods",)),
    "a variable": ("a name that stands for a value", ("name", "value")),
    "a constant": ("a value that does not change", ("change",)),
    "a function": ("a named piece of code that can be called", ("code", "called")),
    "a class": ("a template for making objects", ("objects", "object")),
    "an object": ("a value with state and methods", ("state", "methods", "instance")),
    "a method": ("a function that belongs to a class", ("class", "object")),
    "a module": ("a file of code that other code can import", ("file", "import")),
    "a package": ("a directory of modules that can be imported", ("modules",)),
    "a compiler": ("a program that translates source code into machine code", ("translates", "source")),
    "an interpreter": ("a program that runs source code directly", ("runs", "executes")),
    "a debugger": ("a tool that stops a program to look at its state", ("state", "stops", "bugs")),
    "a linter": ("a tool that finds likely faults in code without running it", ("code",)),
    "a unit test": ("a test that checks one small part of a program alone", ("part", "unit", "small")),
    "a regular expression": ("a pattern that describes a set of texts", ("pattern",)),
    "a race condition": ("a fault that depends on the timing of parallel work", ("timing", "order")),
    "a deadlock": ("a state in which tasks wait for each other for ever", ("wait", "waiting")),
    "a mutex": ("a lock that only one thread can hold at a time", ("lock", "one")),
    "a thread": ("a line of execution inside a process", ("process", "execution")),
    "a process": ("a running program with its own memory", ("running", "program")),
    "a semaphore": ("a counter that limits how many tasks use a resource", ("counter", "resource")),
    "a coroutine": ("a function that can pause and continue later", ("pause", "suspend")),
    "concurrency": ("the handling of several tasks in the same period", ("tasks",)),
    "a cache": ("a fast store for results that may be needed again", ("store", "storage")),
    "a database": ("an organised store of data that can be queried", ("data",)),
    "an index": ("a structure that makes finding data faster", ("faster", "fast", "quickly")),
    "a transaction": ("a group of changes that happen together or not at all", ("together", "all")),
    "a message queue": ("a service that keeps messages until a consumer takes them", ("messages",)),
    "an API": ("a set of calls that a program offers to other programs", ("programs", "calls", "software")),
    "a server": ("a program that answers the requests of clients", ("requests", "clients")),
    "a client": ("a program that sends requests to a server", ("server",)),
    "a protocol": ("a set of rules for how programs talk to each other", ("rules",)),
    "a socket": ("an end point of a connection between two programs", ("connection", "communication")),
    "a port": ("a number that tells which service of a machine is meant", ("number",)),
    "encryption": ("the turning of data into a form that only a key can open", ("key",)),
    "a hash function": ("a function that turns data into a value of fixed size", ("fixed",)),
    "a checksum": ("a short value that shows whether data has changed", ("data",)),
    "version control": ("the recording of every change to a set of files", ("change", "changes")),
    "a commit": ("a recorded set of changes in version control", ("changes",)),
    "a branch": ("a separate line of development in version control", ("line", "development")),
    "a merge conflict": ("a place where two changes to the same lines disagree", ("changes", "lines")),
    "refactoring": ("changing the structure of code without changing what it does", ("structure",)),
    "a memory leak": ("memory that a program keeps but no longer uses", ("memory",)),
    "garbage collection": ("the automatic freeing of memory that is no longer used", ("memory",)),
    "a pointer": ("a value that holds the address of another value", ("address",)),
    "a bit": ("the smallest unit of data, either 0 or 1", ("0", "zero", "binary")),
    "a byte": ("a group of eight bits", ("eight", "8")),
    "an algorithm": ("a series of steps that solves a problem", ("steps",)),
    "binary search": ("a search that halves a sorted list at every step", ("sorted", "half", "halves")),
    "idempotence": ("the property that doing something twice changes no more than once", ("once", "same")),
    "latency": ("the time between a request and its answer", ("time",)),
    "throughput": ("the amount of work done in a given time", ("time",)),
}

BUILTINS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "len": ("returns the number of items in an object", ("number", "length")),
    "sorted": ("returns a new sorted list of the items", ("list",)),
    "reversed": ("returns an iterator over the items in reverse order", ("reverse",)),
    "enumerate": ("yields pairs of an index and an item", ("index", "count")),
    "zip": ("joins items of several iterables into tuples", ("tuples", "pairs")),
    "map": ("applies a function to every item", ("function",)),
    "filter": ("keeps the items for which a function is true", ("true", "function")),
    "sum": ("adds up the items", ("adds", "total", "sum")),
    "min": ("returns the smallest item", ("smallest",)),
    "max": ("returns the largest item", ("largest",)),
    "abs": ("returns the absolute value of a number", ("absolute",)),
    "round": ("rounds a number to some digits", ("rounds", "nearest")),
    "range": ("makes a sequence of whole numbers", ("numbers", "integers")),
    "isinstance": ("tells whether an object is of a type", ("type", "instance", "class")),
    "hasattr": ("tells whether an object has an attribute", ("attribute",)),
    "getattr": ("returns an attribute of an object by its name", ("attribute",)),
    "open": ("opens a file", ("file",)),
    "print": ("writes text to the output", ("output", "text")),
    "input": ("reads a line of text from the user", ("reads", "line", "user")),
    "any": ("is true when at least one item is true", ("true",)),
    "all": ("is true when every item is true", ("true",)),
    "ord": ("returns the code point of a character", ("code", "Unicode")),
    "chr": ("returns the character of a code point", ("character",)),
    "hash": ("returns the hash value of an object", ("hash",)),
    "id": ("returns the identity of an object", ("identity", "address")),
}

KEYWORDS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "def": ("defines a function", ("function",)),
    "class": ("defines a class", ("class",)),
    "return": ("ends a function and gives back a value", ("value",)),
    "yield": ("gives a value and pauses the generator", ("generator", "pauses")),
    "import": ("loads a module", ("module",)),
    "lambda": ("makes a small function without a name", ("function",)),
    "with": ("runs a block inside a context manager", ("context",)),
    "try": ("starts a block whose exceptions are handled", ("exceptions", "exception", "errors")),
    "except": ("handles an exception", ("exception", "exceptions")),
    "finally": ("marks a block that runs in any case", ("runs", "always")),
    "raise": ("raises an exception", ("exception",)),
    "assert": ("checks that a condition is true", ("condition",)),
    "pass": ("does nothing", ("nothing",)),
    "break": ("leaves the loop", ("loop",)),
    "continue": ("goes on with the next round of the loop", ("loop",)),
    "global": ("names a variable of the module", ("variable", "module")),
    "nonlocal": ("names a variable of the enclosing function", ("enclosing", "variable")),
    "await": ("waits for a coroutine to finish", ("coroutine", "waits")),
    "async": ("marks a function as a coroutine", ("coroutine", "asynchronous")),
    "del": ("removes a name or an item", ("removes", "deletes")),
}

EXCEPTIONS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "KeyError": ("a key is not in a dictionary", ("key",)),
    "IndexError": ("an index is out of range", ("range", "index")),
    "ValueError": ("a value has the right type but is not valid", ("value",)),
    "TypeError": ("an operation gets an object of the wrong type", ("type",)),
    "AttributeError": ("an object does not have the attribute", ("attribute",)),
    "NameError": ("a name is not defined", ("name", "defined")),
    "ImportError": ("an import fails", ("import",)),
    "ModuleNotFoundError": ("a module cannot be found", ("module",)),
    "FileNotFoundError": ("a file does not exist", ("file",)),
    "PermissionError": ("an operation is not permitted", ("permitted", "permission", "allowed")),
    "ZeroDivisionError": ("a number is divided by zero", ("zero", "0")),
    "StopIteration": ("an iterator has no more items", ("items", "iterator")),
    "RecursionError": ("calls are nested too deeply", ("calls", "recursion", "depth")),
    "MemoryError": ("there is no memory left", ("memory",)),
    "AssertionError": ("an assert statement fails", ("assert", "assertion")),
    "NotImplementedError": ("a method is not implemented yet", ("implemented",)),
    "UnicodeDecodeError": ("bytes cannot be decoded into text", ("bytes", "decoded")),
    "SyntaxError": ("code is not valid Python", ("code", "syntax")),
}

Slots = Mapping[str, str]


def answer(category: str, slots: Slots) -> str | None:
    """The answer to a general question, None for another category."""
    known = _KNOWN.get(category)
    return known(slots)[0] if known else None


def expectation(category: str, slots: Slots) -> JsonObject:
    """The `expect` of a general question; KeyError for another category."""
    return _KNOWN[category](slots)[1]


def _arithmetic(slots: Slots) -> tuple[str, JsonObject]:
    a, b, operator = int(slots["a"]), int(slots["b"]), slots["operator"]
    result = {"plus": a + b, "minus": a - b, "times": a * b}[operator]
    return f"{a} {operator} {b} is {result}.", {"number": result}


def _units(slots: Slots) -> tuple[str, JsonObject]:
    amount, large, small = int(slots["amount"]), slots["large"], slots["small"]
    factor = next((unit.factor for unit in UNITS if (unit.large, unit.small) == (large, small)), None)
    if factor is None:
        return f"I cannot convert {large} to {small}.", {"contains": ["cannot"]}
    return f"{amount} {large} are {amount * factor} {small}.", {"number": amount * factor}


def _definition(slots: Slots) -> tuple[str, JsonObject]:
    meaning, words = TERMS[slots["term"]]
    return f"{slots['term'][0].upper()}{slots['term'][1:]} is {meaning}.", {"any": list(words)}


def _builtin(slots: Slots) -> tuple[str, JsonObject]:
    meaning, words = BUILTINS[slots["builtin"]]
    return f"The built-in {slots['builtin']} {meaning}.", {"any": list(words)}


def _keyword(slots: Slots) -> tuple[str, JsonObject]:
    meaning, words = KEYWORDS[slots["keyword"]]
    return f"The keyword {slots['keyword']} {meaning}.", {"any": list(words)}


def _exception(slots: Slots) -> tuple[str, JsonObject]:
    meaning, words = EXCEPTIONS[slots["exception"]]
    return f"Python raises {slots['exception']} when {meaning}.", {"any": list(words)}


_KNOWN: Final[Mapping[str, Callable[[Slots], tuple[str, JsonObject]]]] = {
    "arithmetic": _arithmetic,
    "units": _units,
    "definition": _definition,
    "builtin": _builtin,
    "keyword": _keyword,
    "exception": _exception,
}
