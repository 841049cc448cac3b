"""A mail: its headers as people read them, its date, its author, and the text that a reader of it would see.

See RFC 5322 (headers and dates), RFC 2045 to 2047, RFC 2231, RFC 3676 (format=flowed).
"""

import binascii
import datetime
import email
import email.policy
import email.utils
import re

from natter_charset import decode, guess
from natter_html import text_of

DEPTH_LIMIT = 8
MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split()
ZONES = {'est': -5, 'edt': -4, 'cst': -6, 'cdt': -5, 'mst': -7, 'mdt': -6, 'pst': -8, 'pdt': -7}
CLOCK = r'(?P<clock>\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?(?:\s*[AaPp][Mm])?)'
DATES = [re.compile(pattern, re.A) for pattern in (
    rf'\b(?P<day>\d{{1,2}})[\s.-]+(?P<month>[A-Za-z]{{3}})[A-Za-z]*[\s.-]+(?P<year>\d{{2,4}})\s+{CLOCK}\s*(?P<zone>.*)',
    rf'\b(?P<month>[A-Za-z]{{3}})[A-Za-z]*\s+(?P<day>\d{{1,2}})\s+{CLOCK}\s+(?P<before>[A-Za-z+-]\S*\s+)?(?P<year>\d{{4}})'
    rf'\s*(?P<zone>.*)',
    rf'^\s*(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)[T\s]+{CLOCK}\s*(?P<zone>.*)')]
WORD = re.compile(r'=\?([^?*\s]{1,80})(?:\*[^?\s]{0,40})?\?([bBqQ])\?([^?]{0,2000})\?=')
MAILBOX = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"|\((?P<comment>(?:[^()\\]|\\.)*)\)|<(?P<address>[^>]*)(?:>|$)|(?P<comma>,)'
                     r'|(?P<plain>[^"(<,]+|.)', re.S)


class Headers(email.policy.Compat32):
    """Headers as they stand in the mail, in which bytes that are not ASCII are surrogates."""

    def header_fetch_parse(self, name, value):
        return re.sub(r'\r?\n(?=[ \t])', '', str(value)).strip()


POLICY = Headers()


def date(text):
    """Unix milliseconds of 'Fri, 20 Nov 2026 07:24:05 +0100 (CET)' and of what programs write in place of that; None
    where there is none."""
    text = re.sub(r'\([^()]{0,200}\)', ' ', text[:1000]).partition('(')[0].replace(',', ' ')
    match = next(filter(None, (pattern.search(text) for pattern in DATES)), None)
    if not match:
        return None
    month, year = match['month'].lower(), int(match['year'])
    if not month.isdigit() and month not in MONTHS:
        return None
    month = int(month) if month.isdigit() else MONTHS.index(month) + 1
    year += 2000 if year < 50 else 1900 if year < 1000 else 0
    hour, minute, second = (int(number) for number in (re.findall(r'(?<![.\d])\d+', match['clock']) + ['0'])[:3])
    half = match['clock'][-2:].lower()
    if half in ('am', 'pm'):
        hour = hour % 12 + (12 if half == 'pm' else 0)
    days = (hour, minute, second) == (24, 0, 0)
    try:
        moment = datetime.datetime(year, month, int(match['day']), 0 if days else hour, minute, min(second, 59),
                                   tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    zone = (match.groupdict().get('before') or '') + match['zone']
    return int(moment.timestamp() + 86_400 * days - 60 * offset(zone.strip())) * 1000


def offset(zone):
    """The minutes by which a zone is ahead. An unknown one counts as UTC, as the RFC says."""
    if match := re.match(r'(?:GMT|UTC?|Z)?\s*([+-])(\d\d?)(?::?(\d\d))?(?!\d)', zone, re.I | re.A):
        return (1 if match[1] == '+' else -1) * (int(match[2]) * 60 + int(match[3] or 0))
    return ZONES.get(zone.partition(' ')[0].lower(), 0) * 60


def text_of_header(value, unknown):
    """A header's text, with its encoded words. Many programs end one in the middle of a character."""
    value = guess(value.encode('utf-8', 'surrogateescape'))
    text, end, charset, data = '', 0, None, b''
    for word in WORD.finditer(value):
        between = value[end:word.start()]
        if charset is not None and (between.strip() or charset != word[1].lower()):
            text += decode(data, charset, unknown)
            data = b''
        # White space between two words only separates them.
        if charset is None or between.strip():
            text += between
        charset, end = word[1].lower(), word.end()
        data += base64(word[3].encode())[0] if word[2] in 'bB' else binascii.a2b_qp(word[3].encode(), header=True)
    return text + (decode(data, charset, unknown) if charset is not None else '') + value[end:]


def author(field, unknown, depth=0):
    """The name that stands with the address, else the address without its domain."""
    # What looks like a sign in an encoded word is part of a name.
    words = []
    hidden = WORD.sub(lambda word: words.append(word[0]) or '\ue000%d\ue001' % (len(words) - 1), field[:10_000])
    found = {'quoted': '', 'comment': '', 'address': '', 'plain': ''}
    for token in MAILBOX.finditer(hidden):
        if token.lastgroup == 'comma':
            break
        found[token.lastgroup] += token[token.lastgroup]
        if token.lastgroup == 'address':
            break

    def text(part):
        part = re.sub(r'\\(.)', r'\1', part, flags=re.S)
        return text_of_header(re.sub('\ue000(\\d+)\ue001', lambda mark: words[int(mark[1])], part), unknown)

    name = text(found['quoted'] or found['plain'].strip())
    if found['address'] and name:
        return name
    if found['comment']:
        return text(found['comment'])
    bare = text(found['address']) or name
    if words and '<' in bare and not depth:
        return author(bare, unknown, 1)
    return bare.partition('@')[0] or 'unknown'


def base64(data):
    """The bytes, and what stands behind them, such as the footer of a list: it begins behind the end or an empty line."""
    other = max((match.start() for match in re.finditer(rb'[^A-Za-z0-9+/=\s]+', data)), default=0)
    ends = re.finditer(rb'=[ \t\r]*\n|(?<=[A-Za-z0-9+/])[ \t\r]*\n[ \t\r]*\n', data)
    place = next((end.end() for end in ends if end.end() <= other), len(data))
    coded = re.sub(rb'[^A-Za-z0-9+/]', b'', data[:place])
    coded = coded[:-1] if len(coded) % 4 == 1 else coded
    return binascii.a2b_base64(coded + b'=' * (-len(coded) % 4)), data[place:]


def unflow(text, deletes):
    """Joins the lines of format=flowed that belong together, and takes out the blanks that were put before some."""
    lines, joins = [], None
    for line in text.split('\n'):
        line = line.removesuffix('\r')
        quoted = line[:len(line) - len(line.lstrip('>'))]
        line = line[len(quoted):].removeprefix(' ')
        goes_on = line.endswith(' ') and line != '-- '
        start = quoted + ' ' if quoted and line else quoted
        if joins == quoted and line != '-- ':
            lines[-1] += line
        else:
            lines.append(start + line)
        if goes_on and deletes:
            lines[-1] = lines[-1][:-1]
        joins = quoted if goes_on else None
    return '\n'.join(lines)


class Mail:
    """A mail, or a part of one."""

    def __init__(self, data, unknown=lambda label: None):
        """unknown(label) is called with the label of a character set that nobody knows."""
        self.part = email.message_from_bytes(data, policy=POLICY)
        self.unknown, self.files = unknown, 0

    def __getitem__(self, name):
        """A header as it stands; '' if there is none."""
        return self.part.get(name) or ''

    def header(self, name):
        return text_of_header(self[name], self.unknown)

    def author(self):
        return author(self['From'], self.unknown)

    def text(self, part=None, depth=0):
        """The text that a reader of the mail would see; None if there is none. Counts the parts that are something else."""
        part = self.part if part is None else part
        kind = re.split(r'[\s;(]', part.get('Content-Type') or 'text/plain')[0].lower()
        if kind.startswith('multipart/') and depth < DEPTH_LIMIT:
            parts = part.get_payload() if part.is_multipart() else self.lost_parts(part)
            if parts:
                return self.text_of_parts(parts, kind == 'multipart/alternative', depth + 1)
        attached = (part.get('Content-Disposition') or '').lower().startswith('attachment')
        if attached or part.is_multipart() or kind not in ('text/plain', 'text/html') and '/' in kind:
            self.files += 1
            return None
        data, footer = self.body(part)
        charset = email.utils.collapse_rfc2231_value(part.get_param('charset') or '')
        text = decode(data, charset or 'us-ascii', self.unknown)
        if kind == 'text/html':
            text = text_of(text)
        elif str(part.get_param('format')).lower() == 'flowed':
            text = unflow(text, str(part.get_param('delsp')).lower() == 'yes')
        return text + ('\n' + guess(footer) if footer.strip() else '')

    def text_of_parts(self, parts, is_choice, depth):
        """Of a choice the plain text, or the first text if that is blank; of a mixture all texts, one after another."""
        parts = parts[:1000]
        if not is_choice:
            texts = [text for text in [self.text(part, depth) for part in parts] if text is not None]
            return '\n'.join(texts) if texts else None
        plain = [part for part in parts if (part.get('Content-Type') or '').lower().startswith('text/plain')]
        blank = None
        for part in plain[:1] + [part for part in parts if part not in plain[:1]]:
            text = self.text(part, depth)
            if text and not text.isspace():
                return text
            blank = text if blank is None else blank
        return blank

    def lost_parts(self, part):
        """The parts by the boundary that is used, if the header names none or another one, as some programs leave it."""
        data = part.get_payload(decode=True)
        used = re.search(rb'^--(\S.*?)[ \t\r]*\n(?=content-)', data[:100_000], re.M | re.I)
        if not used:
            return []
        head = b'Content-Type: multipart/mixed; boundary="' + used[1].replace(b'"', b'') + b'"\n\n'
        return email.message_from_bytes(head + data, policy=POLICY).get_payload()

    @staticmethod
    def body(part):
        """The bytes of a part without its coding, and what stands behind it. Call once."""
        coding = re.split(r'[\s;(]', part.get('Content-Transfer-Encoding') or '')[0].lower()
        # The library knows fewer forms of this header.
        del part['Content-Transfer-Encoding']
        data = part.get_payload(decode=True)
        if coding == 'base64':
            return base64(data)
        if coding == 'quoted-printable':
            return binascii.a2b_qp(re.sub(rb'=[ \t]+(?=\r?\n)', b'=', data)), b''
        return data, b''
