"""The text that a reader of HTML sees, for mail that has no plain text."""

import html.parser
import re

# Each begins and ends a line.
BLOCKS = set("""address article aside blockquote body br caption center dd details div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hr legend li main nav ol option p pre section select summary table tbody textarea
    tfoot thead tr ul""".split())
CELLS = {'td', 'th'}
HIDDEN = {'head', 'title', 'style', 'script', 'template'}
# The end of a block, and white space that stays: no text of HTML has these.
END = '\x02'
KEPT = {ord(' '): '\x03', ord('\t'): '\x04'}
BLANKS = {3: ' ', 4: '\t'}
SCHEME = re.compile(r'^(mailto:|tel:|https?://)?(www\.)?', re.I)


class Reader(html.parser.HTMLParser):
    """Collects words and the ends of lines."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts = []
        # An element whose text nobody sees, and where it began. One that never ends hides nothing.
        self.hidden, self.start = None, 0
        # Where the text of a link begins, and its target.
        self.link = None
        self.pre = 0

    def add(self, text):
        self.parts.append(text)

    def handle_starttag(self, tag, attributes):
        if self.hidden == 'head' and tag == 'body':
            self.show()
        if self.hidden:
            return
        if tag in HIDDEN:
            self.hidden, self.start = tag, len(self.parts)
        elif tag in BLOCKS:
            self.add('\n' if tag == 'br' else END)
            self.add('- ' if tag == 'li' else '')
            self.pre += tag == 'pre'
        elif tag in CELLS:
            self.add(' ')
        elif tag == 'a':
            self.end_link()
            self.link = len(self.parts), (dict(attributes).get('href') or '').strip()
        elif tag == 'img':
            self.add(dict(attributes).get('alt') or '')

    def handle_startendtag(self, tag, attributes):
        # '<p/>' is '<p>', as in browsers.
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        if self.hidden:
            if tag == self.hidden:
                self.show()
            return
        if tag in BLOCKS:
            self.add(END)
            self.pre = max(0, self.pre - (tag == 'pre'))
        elif tag in CELLS:
            self.add(' ')
        elif tag == 'a':
            self.end_link()

    def show(self):
        del self.parts[self.start:]
        self.hidden = None

    def end_link(self):
        """A link is 'label (target)' where its label does not say the target."""
        if not self.link:
            return
        (start, target), self.link = self.link, None
        label = ' '.join(''.join(self.parts[start:]).split())
        if re.match(r'(https?|ftp|mailto|tel|xmpp|irc|matrix):', target, re.I):
            said = target.partition('?')[0] if target.lower().startswith('mailto:') else target
            if SCHEME.sub('', said).rstrip('/') != SCHEME.sub('', label).rstrip('/'):
                self.add(f' ({target})' if label else f'({target})')

    def handle_data(self, data):
        data = data.translate(dict.fromkeys((2, 3, 4)))
        self.add(data.translate(KEPT) if self.pre else re.sub(r'[ \t\r\n\f]+', ' ', data))


def gap(match):
    """Between two words: as many ends of lines as there are '<br>', and at least one at the end of a block."""
    return '\n' * max(1, match[0].count('\n'))


def text_of(source):
    """The text of HTML without tags, styles and scripts."""
    # What is never closed is text. The parser would look for its end again and again.
    for start, end in (('<!--', '-->'), ('<', '>')):
        place = source.rfind(end) + 1
        source = source[:place] + source[place:].replace(start, '&lt;' + start[1:])
    source = re.sub(r'<!--.*?-->|<!\[[^>]*>', '', source, flags=re.S)
    reader = Reader()
    reader.feed(source)
    reader.close()
    # The parser keeps back a style without an end.
    text = ''.join(reader.parts) + reader.rawdata
    text = re.sub(' +', ' ', text.replace('\xa0', ' '))
    return re.sub(r' ?[\n\x02][ \n\x02]*', gap, text).strip(' \n').translate(BLANKS)
