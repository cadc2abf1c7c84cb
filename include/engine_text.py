"""Removes the values of files and tables from an error message of a warehouse, of dbt or a library.

Such a message may quote a cell of a file: a player's id, a birth date, a whole line. A cell can
hold apostrophes, quotes, parentheses and line breaks, so no pattern finds where it ends. Therefore
`without_values` works with a list of what is allowed, and masks everything else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

MASKED = "***"
"""The text that stands for everything that may be a value."""
WORDS_TEXT = """
a aborted accept access add addition address after aggregate all allocate allowed already alter
ambiguous an analysis analyze and another any appear applied are argument arguments array arrays
arrow arrowinvalid as assert assertion at attach attribute attributeerror authentication
automatically available background bad badgzipfile base be because been before behavior being
between bigint binary bind binder binderexception bindings blob block bool boolean bound broken
buffer but by byte bytes cache call called can canceled cancelled candidate cannot cast casted
casting catalog catalogexception cause caused cell cells certificate change changed changes_of_
character characters check checksum class clause client clienterror close closed cluster code column
columns combine command commit communication compare compilation compilationerror compile compiled
composite compressed compression compute computed concurrently conditions configuration configured
conflict connection constant constraint constraintexception constraints contain containing contains
context conversion conversionexception convert copy corrupted could count create created credentials
csv current cursor data database databaseerror dataerror date date_trunc dbt dbtdatabaseerror
dbtruntimeerror dd deadlock decimal declared decode decompress decompression default deferrable
defined delete delimiter denied dependency description destination detail detected determine device
dialect did different differs digit digits directory disk distinct div divided division do doc docs
does domain double drop dropped duckdb ducklake duplicate duplicated during either element else
empty enabled encoded encoding encountered end ended ends entry enum eof errno error errors escape
escaped event exceeded exception exclusion execute execution exist existing exists expected expired
explicit exponent expression expressions extension fail failed failing failure false fatal few field
fields file files filter find first fix fixes float for forbidden foreign fork format found from
full function functions generated generation get getaddrinfo gone got group grouping gzip has hash
have header headers hh hint hostname http hugeint id identify identity if ignore implemented in
incompatible incomplete incorrect increase index indexerror indexes inf infinity initialize input
insert instance instead int int1 int128 int16 int32 int64 int8 integer integrityerror intermediate
internal internalerror interval into invalid invalidinputexception io ioexception is is_built
isolation it item its join json json_extract jsonb jsonpath key keyerror killed known lacks larger
left length less level library limit limits line lineno lines link list lists literal location lock
log logical login long macro macros magic malformed many map mapping marts match matched
materialization materialized max_temp_directory_size maximum mean member memory memoryerror merge
message metadata method minimum mismatch missing mm model models modifier modulo more move multiple
multiplication must name named names nan near negative network new no node non nonexistent not
notsupportederror null nulls number numbers numeric object objects occurred of offload offset oid on
once one only open operation operationalerror operations operator option options or order ordered
origin original oserror other out outofmemoryexception outofrangeexception output overflow
overflowed owner padbmaster pandas parallel parameter parameters parquet parse parser
parserexception parsing partition partitioned password path pattern peer perform permission physical
pid pipe policy possible postgresql precision prepared previous primary privilege privileges problem
procedure process programmingerror python query query_id quote quoted quotes ran random range re
reached read read_csv read_json read_parquet reader reading recognized record recursion recursive
reference referenced references refused regexp relation relations remove removed rename repeated
request requested required requires reset resource restore result results return returned returning
role rollback root row rows rule rules run runtime runtimeerror s s3 s3serviceexception safe scalar
scan scans schema search secret security seed seeds segment select sequence serializable
serializationexception serialize server serverless service session set setting shared should size
small smaller smallint snappy snapshot snapshots sniffer sniffing socket source space span specified
specify spectrum sql ss ssl staging start state statement statements statistics status
stl_load_errors stopped storage strict string strptime struct subquery subtraction superuser support
supported svl_s3log svl_s3query syntax system t table tables target template temporary terminated
test tests text than that the then there this time timed timeout timeouterror timestamp timestamptz
timestampz to token too transaction transactionexception transform transition true truncate
truncated try_cast tuple two type typed typeerror typemismatchexception types uint16 uint32 uint64
uint8 unable unavailable unclosed undefined unexpected unexpectedly unhandled unicode
unicodedecodeerror union unique unit unknown unnest unquoted unrecognized unsupported unterminated
updatable update upgrade usage use used user using utf uuid valid value valueerror values varchar
variable variant varying vector version view views violated violates violation warehouse warn was
when where whether which while window with within without worker wrapper write writing wrong yet yml
yyyy zero zerodivisionerror zone zstd
"""
WORDS = frozenset(WORDS_TEXT.split())
"""The words of which the messages of DuckDB, PostgreSQL, Redshift, Spectrum and dbt consist. None
of them is an attribute of a person. Few of them are also names, such as "Field" and "Small", and
pass."""
PUNCTUATION = frozenset(" \n.,:;!?'\"()[]<>=*/_-")
COUNT = re.compile(r"Got \d+ results?, configured to (?:fail|warn) if [!<>=]{1,2} ?\d+")
"""dbt's whole message about a failed test."""
COMPILATION = "Compilation Error"
"""The start of the errors that dbt makes before it reads any row: they hold names and no values."""
LINES = frozenset({"line", "row"})
"""A number that directly follows one of these words is a place in a file, not a value."""
DATA_FOLLOWS = re.compile(
    r"original line|\bkey \(|failing row|row contains|\bwith value\b|\bvalue:"
    r"|\binput syntax\b[^:\n]{0,60}:|\bline \d+:",
    re.IGNORECASE,
)
"""All that an engine writes after one of these words can be data, also if it consists of `WORDS`.
After `LINE 1:`, PostgreSQL and DuckDB repeat a part of the statement."""
NAMES = r"(?:/[\w.=+-]+)+"
"""What follows a folder of the lake in the path of a data file."""
NAME = r"changes_of_|\w+"
"""A word or name. Of the name of a table with changed keys, `changes_of_` is a word of its own."""


def without_values(text: str, *, shown: str = "", lake: str = "") -> str:
    """Return an error message in which each part that may be a value is replaced by `***`.

    What remains are `WORDS`, the words of `shown`, a line number at the beginning, the paths of
    files below `lake`, dbt's count of failed rows, and dbt's compilation errors as a whole. `shown`
    is text that the reader sees anyway, such as the compiled SQL with its names of columns. A value
    that consists of such words alone is not recognized as a value.
    """
    text = text.strip()
    if COUNT.fullmatch(text) or text.startswith(COMPILATION):
        return text
    if data := DATA_FOLLOWS.search(text):
        text = f"{text[: data.end()]} {MASKED}"
    file = f"{re.escape(lake)}{NAMES}" if lake else r"(?!)"
    tokens = re.findall(rf"{file}|{NAME}|.", text, re.DOTALL)
    return _joined(_masked(tokens, frozenset(re.findall(NAME, shown)), f"{lake}/"))


def _masked(tokens: Sequence[str], shown: Collection[str], lake: str) -> list[str]:
    """Return the words and characters of a message, those that are not allowed as `MASKED`."""
    found: list[str] = []
    word = ""
    # A number can be a line number only as long as nothing of the message may be a value.
    is_before_values = True
    for token in tokens:
        is_number = token.isdigit()
        is_line = is_before_values and is_number and word in LINES and token.isascii()
        is_known = not is_number and (token.lower() in WORDS or token in shown)
        # A single slash is punctuation also if no lake is given.
        is_file = len(lake) > 1 and token.startswith(lake)
        if is_line or is_known or is_file or token in PUNCTUATION:
            found.append(token)
        else:
            found.append(MASKED)
        is_before_values &= found[-1] is not MASKED and token not in {"'", '"', "("}
        if token[0].isalnum():
            word = token.lower()
    return found


def _joined(tokens: list[str]) -> str:
    """Return the tokens as text, in which masked parts that lie side by side are one."""
    mask = re.escape(MASKED)
    return re.sub(rf"{mask}(?:[^\w]*{mask})+", MASKED, "".join(tokens))
