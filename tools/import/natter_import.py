"""What the converters share: reading FILE, and printing messages as 'natterd import --from' takes them.

natter-formats(5), "Converters", describes the lines and what natterd makes of standard error and of the exit status.
"""

import codecs
import contextlib
import datetime
import errno
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import time
import unicodedata

NAME_BYTES = 64
TEXT_BYTES = 65_536
LINE_BYTES = 1 << 20
DAY = 86_400_000
MEMORY = 'it needs more than 1 GiB of memory; export a shorter time'


class BadFile(Exception):
    """FILE is none of this format. The message says why, and where."""


class Source:
    """FILE: its name without directories and extension, whether it is a directory, and its bytes."""

    def __init__(self, path, name=None):
        self.path = 'standard input' if path == '-' and name is None else name or path
        self.directory = path if path != '-' and os.path.isdir(path) else None
        last = os.path.basename(self.path.rstrip('/')) or self.path
        last = last.removesuffix('.gz')
        self.name = (last if self.directory else last[:last.rfind('.')] if last.rfind('.') > 0 else last).encode(
            'utf-8', 'surrogateescape').decode('utf-8', 'replace')
        if self.directory:
            return
        self.file = sys.stdin.buffer if path == '-' else open(path, 'rb')
        if not self.file.seekable():
            copy = tempfile.TemporaryFile()
            shutil.copyfileobj(self.file, copy, 1 << 20)
            self.file = copy

    def open(self):
        """The bytes from the beginning, unpacked where FILE is a '.gz'."""
        if self.directory:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
        self.file.seek(0)
        packed = self.file.read(2) == b'\x1f\x8b'
        self.file.seek(0)
        return io.BufferedReader(gzip.GzipFile(fileobj=self.file)) if packed else self.file

    def bad(self, reason):
        return BadFile(f"'{self.path}': {reason}")


def lines(stream, path):
    """The number and the text of each line of a log. Bytes that are not UTF-8 are Latin-1, as in old logs; a file that
    begins with the mark of UTF-16 is in that."""
    start = stream.read(3)
    stream.seek(0)
    wide = start[:2] in (b'\xff\xfe', b'\xfe\xff')
    if start == codecs.BOM_UTF8:
        stream.seek(3)
    reader = io.TextIOWrapper(stream, 'utf-16', 'replace', newline='\n') if wide else stream
    number = 0
    try:
        while line := reader.readline(LINE_BYTES + 2):
            number += 1
            if len(line) > LINE_BYTES + 1:
                raise BadFile(f"'{path}': line {number} has more than {LINE_BYTES} bytes")
            if not wide:
                try:
                    line = line.decode()
                except UnicodeDecodeError:
                    line = line.decode('latin-1')
            yield number, line.removesuffix('\n').removesuffix('\r')
    finally:
        if wide:
            # Or it would close the stream.
            reader.detach()


def local(year, month, day, hour=0, minute=0, second=0):
    """Unix milliseconds of a clock on a wall in the time zone of this process; None if no clock shows that. Of an hour
    that occurs twice in autumn it is the first."""
    try:
        return int(datetime.datetime(year, month, day, hour, minute, second).timestamp()) * 1000
    except (ValueError, OverflowError, OSError):
        return None


ISO = re.compile(r'(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:(Z)|([+-])(\d\d):?(\d\d))?', re.A)


def iso(text):
    """Unix milliseconds of '2026-11-20T07:24:05.123Z', or of the same without a zone on a clock on a wall."""
    match = ISO.fullmatch(text)
    if not match:
        return None
    *civil, fraction, utc, sign, hours, minutes = match.groups()
    civil = [int(number) for number in civil]
    if not utc and not sign:
        moment = local(*civil)
    else:
        try:
            moment = int(datetime.datetime(*civil, tzinfo=datetime.timezone.utc).timestamp()) * 1000
        except (ValueError, OverflowError):
            return None
        if sign:
            moment -= (1 if sign == '+' else -1) * (int(hours) * 60 + int(minutes)) * 60_000
    return moment if moment is None else moment + int(((fraction or '') + '000')[:3])


def ends_character(text, place):
    """Whether people see two characters, one on each side of a place in a text."""
    before, after = text[place - 1], text[place]
    if unicodedata.category(after)[0] == 'M' or after in '\u200d\ufe0f' or '\U0001f3fb' <= after <= '\U0001f3ff':
        return False
    # Two letters are a flag.
    letters = re.search('[\U0001f1e6-\U0001f1ff]*$', text[max(0, place - 40):place])[0]
    return before != '\u200d' and not ('\U0001f1e6' <= after <= '\U0001f1ff' and len(letters) % 2)


def cut(text, limit):
    """As many whole characters of a text as fit into so many bytes; of one that is too long as much of it as fits."""
    data = text.encode()
    if len(data) <= limit:
        return text
    most = data[:limit].decode(errors='ignore')
    return next((text[:end] for end in range(len(most), max(0, len(most) - 40), -1) if ends_character(text, end)), most)


def pieces(text):
    """A text in parts that a message can have. They end with lines where that is possible."""
    start = 0
    while True:
        rest = text[start:start + TEXT_BYTES + 1]
        part = cut(rest, TEXT_BYTES)
        if len(part) < len(rest):
            part = part[:part.rfind('\n') + 1] or part
        start += len(part)
        yield part
        if start >= len(text):
            return


class Output:
    """Prints messages, and counts what is left out."""

    def __init__(self):
        self.file = sys.stdout.buffer
        self.skipped = {}
        self.names = {}
        # Of each conversation the numbers of its messages by their ids, and how many it has.
        self.numbers = {}
        self.counts = {}
        self.latest = (time.time() * 1000) + DAY

    def skip(self, kind, count=1):
        """Counts what is not taken. The kind is a word for programs, such as 'reactions'."""
        if count:
            kind = re.sub(r'[^\w-]+', '_', kind)[:40] or 'unknown'
            self.skipped[kind] = self.skipped.get(kind, 0) + count

    @staticmethod
    def note(text):
        """Tells people, in one line."""
        print(re.sub(r'[\x00-\x1f\x7f\ud800-\udfff]', '?', text), file=sys.stderr)

    def sender(self, name):
        """A name that a message can have. One that had to be cut gets a mark of the whole, so that two stay two."""
        name = clean(name) or 'unknown'
        if len(name.encode()) <= NAME_BYTES:
            return name
        if name not in self.names:
            mark = '~' + hashlib.sha256(name.encode()).hexdigest()[:6]
            self.names[name] = cut(name, NAME_BYTES - len(mark)) + mark
            self.note(f"the name '{name[:200]}' has more than {NAME_BYTES} bytes; its sender is '{self.names[name]}'")
        return self.names[name]

    def message(self, conversation, ts, sender, text, id=None, answers=(), edited=None, people=None,
                members=(), topic=None):
        """Prints a message.

        ts and edited are Unix milliseconds. 'id' is what others call it, 'answers' are the ids of those that it may
        answer, the likeliest first. 'people' are those who talk in the conversation alone, if they are two or one.
        'members' are the names of those who are in it, each with the name to show or None; of a group the maker is first.
        """
        if ts is None:
            return self.skip('without_time')
        if not -62_167_219_200_000 <= ts <= self.latest:
            return self.skip('bad_time')
        if text and not text.strip('\0'):
            return self.skip('without_text')
        numbers = self.numbers.setdefault(conversation, {})
        about = next((numbers[other] for other in answers if other in numbers), None)
        if answers and about is None:
            self.skip('answers_to_missing')
        sender = self.sender(sender)
        for part in pieces(clean(text)):
            number = self.counts[conversation] = self.counts.get(conversation, 0) + 1
            line = {'conversation': clean(conversation), 'seq': number, 'ts': ts, 'sender': sender, 'text': part}
            if about is not None:
                line['about'] = about
            if edited is not None and edited > ts:
                line['edited'] = edited
            if number == 1 and people and len(people) in (1, 2):
                line['people'] = [self.sender(name) for name in people]
            if number == 1 and members:
                line['members'] = [{'name': self.sender(name)} | ({'display': clean(shown)} if shown else {})
                                   for name, shown in members]
            if number == 1 and topic:
                line['topic'] = clean(topic)
            self.file.write(json.dumps(line, ensure_ascii=False, separators=(',', ':')).encode() + b'\n')
            if id is not None:
                numbers[id] = number
            id = about = None

    def finish(self):
        self.file.flush()
        for kind, count in sorted(self.skipped.items()):
            print(f'not taken: {count} {kind}', file=sys.stderr)


def clean(text):
    """Without what no message can have: U+0000, and halves of characters."""
    return re.sub('[\ud800-\udfff]', '\ufffd', text.replace('\0', '')) if text else ''


def word(value):
    """An id, which is a number in some exports and a text in others."""
    return str(value) if isinstance(value, (int, str)) and value != '' and value is not True else None


def string(value):
    """A text that is not empty. A field of another program may have any type."""
    return value if isinstance(value, str) and value else None


def fields(value):
    return value if isinstance(value, dict) else {}


def items(value):
    return value if isinstance(value, list) else []


def run(convert, dates=False):
    """Runs a converter: convert(source, output), or convert(source, output, order) where the order of dates is asked for.

    The status is that of sysexits(3): 64 usage, 65 not of this format, 66 not readable.
    """
    program, words, order = os.path.basename(sys.argv[0]), sys.argv[1:], []
    if dates:
        order = [None]
        if words[:1] == ['--dates'] and len(words) > 1 and words[1] in ('dmy', 'mdy', 'ymd'):
            order, words = [words[1]], words[2:]
    if len(words) not in (1, 2) or words[0].startswith('--'):
        options = '[--dates dmy|mdy|ymd] ' if dates else ''
        print(f"{program}: usage: {program} {options}FILE [NAME]", file=sys.stderr)
        sys.exit(64)
    output, status = Output(), 0
    try:
        try:
            convert(Source(*words), output, *order)
        except (EOFError, gzip.BadGzipFile, gzip.zlib.error) as error:
            raise BadFile(f"'{words[-1]}': {error}") from None
        output.finish()
    except BadFile as error:
        status, reason = 65, str(error)
    except (MemoryError, RecursionError) as error:
        status = 65
        reason = f"'{words[-1]}': " + (MEMORY if isinstance(error, MemoryError) else 'it is nested too deeply')
    except BrokenPipeError:
        status, reason = 74, 'nobody reads the output'
    except OSError as error:
        status, reason = 66, f"cannot read '{error.filename or words[-1]}': {error.strerror or error}"
    if status:
        output.note(reason)
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)
