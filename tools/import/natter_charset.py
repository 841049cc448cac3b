"""Character sets as mail has them: the labels of the Encoding Standard, over the codecs of Python.

See https://encoding.spec.whatwg.org/#names-and-labels. Where a label stands for a set that has more than its name says,
as windows-1252 for ISO-8859-1, the larger one is taken, because that is what mail programs mean.
"""

import codecs
import re

# Labels that Python does not know, and those that it takes for a smaller set.
OTHERS = {
    'unicode-1-1-utf-8': 'utf-8', 'unicode11utf8': 'utf-8', 'unicode20utf8': 'utf-8', 'x-unicode20utf8': 'utf-8',
    'ascii': 'cp1252', 'us-ascii': 'cp1252', 'ansi_x3.4-1968': 'cp1252', 'latin1': 'cp1252', 'l1': 'cp1252',
    'iso-ir-100': 'cp1252', 'csisolatin1': 'cp1252', 'cp819': 'cp1252', 'ibm819': 'cp1252',
    'latin5': 'cp1254', 'l5': 'cp1254', 'iso-ir-148': 'cp1254', 'csisolatin5': 'cp1254',
    'dos-874': 'cp874', 'tis-620': 'cp874', 'x-cp1252': 'cp1252',
    'visual': 'iso8859-8', 'logical': 'iso8859-8', 'sun_eu_greek': 'iso8859-7', 'csisolatin9': 'iso8859-15',
    'l9': 'iso8859-15', 'koi': 'koi8-r', 'koi8': 'koi8-r', 'koi8_r': 'koi8-r', 'koi8-ru': 'koi8-u',
    'csmacintosh': 'mac-roman', 'mac': 'mac-roman', 'x-mac-roman': 'mac-roman', 'x-mac-cyrillic': 'mac-cyrillic',
    'x-mac-ukrainian': 'mac-cyrillic', 'gb2312': 'gb18030', 'gb_2312': 'gb18030', 'gb_2312-80': 'gb18030', 'gbk': 'gb18030',
    'x-gbk': 'gb18030', 'cp936': 'gb18030', 'chinese': 'gb18030', 'csgb2312': 'gb18030', 'csiso58gb231280': 'gb18030',
    'iso-ir-58': 'gb18030', 'big5': 'big5hkscs', 'cn-big5': 'big5hkscs', 'csbig5': 'big5hkscs', 'x-x-big5': 'big5hkscs',
    'x-big5': 'big5hkscs', 'euc-kr': 'cp949', 'cseuckr': 'cp949', 'csksc56011987': 'cp949', 'iso-ir-149': 'cp949',
    'korean': 'cp949', 'ks_c_5601': 'cp949', 'ks_c_5601-1987': 'cp949', 'ks_c_5601-1989': 'cp949', 'ksc5601': 'cp949',
    'ksc_5601': 'cp949', 'csiso2022kr': 'iso2022_kr', 'hz-gb-2312': 'hz', 'unicode-1-1-utf-7': 'utf-7',
    'shift_jis': 'cp932', 'shift-jis': 'cp932', 'sjis': 'cp932', 'x-sjis': 'cp932', 'ms_kanji': 'cp932',
    'csshiftjis': 'cp932', 'windows-31j': 'cp932', 'ucs-2': 'utf-16', 'unicode': 'utf-16', 'csunicode': 'utf-16',
    'iso-10646-ucs-2': 'utf-16', 'unicodefeff': 'utf-16', 'unicodefffe': 'utf-16-be',
}
ISO_8859 = {'1': 'cp1252', '9': 'cp1254', '11': 'cp874'}
# Labels by which a program says that it does not know.
UNKNOWN = {'', 'unknown', 'unknown-8bit', 'x-unknown', '8bit', 'binary', 'default', 'us-ascii-8bit'}
DOS = ('cp4', 'cp7', 'cp8')
DOUBLE = re.compile(rb'[\x21-\x7e]{2}')


def jis_x_0208(match):
    """Two bytes of JIS X 0208 in Shift_JIS, of which cp932 also knows the characters of NEC and IBM."""
    row, cell = match[0][-2] & 0x7F, match[0][-1] & 0x7F
    second = cell + (0x1F if cell < 0x60 else 0x20) if row % 2 else cell + 0x7E
    return bytes([(row - 0x21) // 2 + (0x81 if row < 0x5F else 0xC1), second])


def iso_2022_jp(data):
    """ISO-2022-JP as CP50220 has it."""
    parts = re.split(rb'\x1b(\$[@B]|\$\(D|\([BJI])', data)
    text = parts[0].decode('cp932', 'replace')
    for sign, part in zip(parts[1::2], parts[2::2]):
        if sign == b'(I':
            part = bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in part)
        elif sign == b'$(D':
            part = DOUBLE.sub(lambda pair: b'\x8f' + bytes(byte | 0x80 for byte in pair[0]), part)
        elif sign[:1] == b'$':
            part = DOUBLE.sub(jis_x_0208, part)
        text += part.decode('euc_jp' if sign == b'$(D' else 'cp932', 'replace')
    return text


def euc_jp(data):
    """EUC-JP with the characters of NEC and IBM."""
    parts = re.split(rb'((?:\x8f[\xa1-\xfe]{2})+)', data)
    return ''.join(
        part.decode('euc_jp', 'replace') if index % 2 else re.sub(
            rb'\x8e([\xa1-\xdf])|[\xa1-\xfe]{2}', lambda match: match[1] or jis_x_0208(match), part).decode('cp932', 'replace')
        for index, part in enumerate(parts))


def user_defined(data):
    return ''.join(chr(byte if byte < 0x80 else 0xF700 + byte) for byte in data)


OWN = {'iso-2022-jp': iso_2022_jp, 'csiso2022jp': iso_2022_jp, 'euc-jp': euc_jp, 'x-euc-jp': euc_jp,
       'cseucpkdfmtjapanese': euc_jp, 'x-user-defined': user_defined}


def codec(label):
    """The codec of a label that is not in OWN; None if nobody knows it."""
    name = OTHERS.get(label, label)
    if match := re.fullmatch(r'(?:cs)?iso[-_ ]?8859[-_]?(\d+)(?::\d+|[-_]?[ei])?', name):
        name = ISO_8859.get(match[1], 'iso8859-' + match[1])
    elif match := re.fullmatch(r'(?:x-)?(?:cs)?(?:cp|ibm|windows|win|dos|ms)[-_]?(\d+)', name):
        name = OTHERS.get('cp' + match[1], 'cp' + match[1])
    try:
        # Refuses what is no character set, such as base64.
        b'-'.decode(name, 'replace')
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    # Their work grows faster than the text, or they undo what was never done.
    return None if found.name in ('punycode', 'unicode_escape', 'raw_unicode_escape') else found


def is_single_byte(found):
    return found.name in ('ascii', 'iso8859-1', 'latin-1', 'mac-roman') or found.name.startswith(
        ('cp1', 'cp4', 'cp5', 'cp7', 'cp8', 'iso8859', 'koi8', 'mac', 'ptcp', 'kz', 'tis', 'hp', 'cp037'))


def guess(data):
    """Bytes whose set nobody knows: UTF-8 if most of what is not ASCII is that, else windows-1252."""
    text = data.decode('utf-8', 'replace')
    bad = text.count('\ufffd')
    good = sum(letter > '\x7f' for letter in text) - bad if bad else 1
    return text if good > bad or not bad else data.decode('cp1252', 'replace')


def decode(data, label, unknown=lambda label: None):
    """The text of bytes by the label of their set. A byte that the set does not have becomes U+FFFD, and only that one.

    Bytes beyond ASCII that are valid UTF-8 are that, whatever set of single bytes the label names.
    """
    label = re.sub(r'\s', '', label or '').lower().strip('"\'')
    if label in UNKNOWN or label in ('ascii', 'us-ascii'):
        return guess(data)
    if label in OWN:
        return OWN[label](data)
    found = codec(label)
    if not found:
        unknown(label)
        return guess(data)
    # Sets of DOS have letters that are valid UTF-8 in threes.
    if is_single_byte(found) and sum(byte >= 0xC2 for byte in data) > (2 if found.name.startswith(DOS) else 0):
        try:
            return data.decode('utf-8')
        except UnicodeDecodeError:
            pass
    try:
        return found.decode(data, 'replace')[0]
    except (UnicodeError, ValueError):
        return guess(data)
