public import NatterSystem
public import NatterModel

/// The header of a segment file. It names the conversation of the messages, so that the index can be rebuilt from the
/// files alone.
///
/// On disk, integers are little-endian. See natter-log(5).
///
///     offset  size  field
///     ------  ----  ---------------------------------------------------------------
///          0     8  magic
///          8     2  major version of the format
///         10     2  minor version
///         12     4  length of the header, from the magic to the checksum
///         16    16  store's id
///         32    16  conversation's id
///         48     8  epoch
///         56     8  first seq
///         64    32  hash chain before the first message
///         96     8  time of creation, milliseconds since 1970
///        104    16  dictionary's id; zeros if no dictionary follows
///        120     1  kind of conversation
///        121     1  flags: bit 0 older messages are not kept
///        122     6  reserved, zero
///        128        name, first user, second user: each a LEB128 length and UTF-8
///          …     4  CRC-32C of all bytes above
public struct SegmentHeader: Equatable, Sendable {
    /// A reader refuses a major version that it does not know.
    public static let major: UInt16 = 1
    /// Changes until format 1 is frozen. It shows which program wrote the file, and no reader refuses a file because
    /// of it.
    public static let minor: UInt16 = 0
    /// A byte above ASCII, CR LF and Ctrl-Z: each kind of text-mode copying damages one of them.
    static let magic: [UInt8] = [0x89, 0x4E, 0x41, 0x54, 0x54, 0x0D, 0x0A, 0x1A]
    static let fixedBytes = 128
    public static let maximumBytes = 512
    private static let reservedBytes = 6
    private static let beginningFlag: UInt8 = 1
    /// Three empty names and the checksum.
    private static let minimumBytes = fixedBytes + 3 + Checksum.byteCount

    public var store: StoreID
    public var conversation: ConversationID
    public var epoch: Epoch
    /// The first seq of the first block.
    public var firstSeq: Seq
    /// The hash chain before it.
    public var hashBefore: Digest
    public var created: Timestamp
    /// The dictionary in the record that follows; `.none` if no record follows.
    public var dictionary: DictionaryID
    public var kind: ConversationKind
    /// The conversation's name when the file was created; empty for a personal conversation.
    public var name: String
    /// The two users of a personal conversation in byte order, the same user twice for a notebook; otherwise empty.
    public var users: [String]
    /// Whether the conversation's log begins here because its older messages are not kept any more.
    public var isBeginning: Bool

    public init(
        store: StoreID, conversation: ConversationID, epoch: Epoch, firstSeq: Seq, hashBefore: Digest,
        created: Timestamp, dictionary: DictionaryID, kind: ConversationKind, name: String, users: [String],
        isBeginning: Bool = false
    ) {
        (self.store, self.conversation, self.epoch, self.firstSeq) = (store, conversation, epoch, firstSeq)
        (self.hashBefore, self.created, self.dictionary) = (hashBefore, created, dictionary)
        (self.kind, self.name, self.users, self.isBeginning) = (kind, name, users, isBeginning)
    }

    /// The generation in the name of a file with this header; nil if the name does not match the header.
    public func generation(ofName name: String) -> Int? {
        guard let parts = Segment.parts(ofName: name), parts.conversation == conversation, parts.firstSeq == firstSeq
        else { return nil }
        return parts.generation
    }

    public func encode() -> [UInt8] {
        var names: [UInt8] = []
        for name in [name, users.first ?? "", users.dropFirst().first ?? ""] {
            names.append(counted: name.utf8)
        }
        var bytes = SegmentHeader.magic
        bytes.append(littleEndian: SegmentHeader.major)
        bytes.append(littleEndian: SegmentHeader.minor)
        bytes.append(littleEndian: UInt32(SegmentHeader.fixedBytes + names.count + Checksum.byteCount))
        bytes += store.bytes
        bytes += conversation.bytes
        bytes.append(littleEndian: epoch.rawValue)
        bytes.append(littleEndian: firstSeq.rawValue)
        bytes += hashBefore.bytes
        bytes.append(littleEndian: created.milliseconds)
        bytes += dictionary.bytes
        bytes.append(kind.rawValue)
        bytes.append(isBeginning ? SegmentHeader.beginningFlag : 0)
        bytes += repeatElement(0, count: SegmentHeader.reservedBytes)
        bytes += names
        bytes.appendChecksum()
        return bytes
    }

    /// Decodes a header.
    ///
    /// - Parameters:
    ///   - bytes: the start of the file; 512 bytes are always enough.
    ///   - path: for the error.
    /// - Returns: the header and its length.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, path: String
    ) throws(LogError) -> (header: SegmentHeader, length: Int) {
        let found: UInt16
        do throws(FormatViolation) {
            let whole = try checked(bytes)
            found = whole.major
            if found == major { return (try SegmentHeader(fields: whole.fields), whole.length) }
        } catch {
            throw .damaged(path: path, offset: 0, reason: error.reason)
        }
        throw .newerFormat(path: path, major: found)
    }

    /// Magic, major version, length and the checksum at the end are the same in every format. They are checked first, so that
    /// a flipped bit does not look like a newer format.
    private static func checked(
        _ bytes: UnsafeRawBufferPointer
    ) throws(FormatViolation) -> (fields: UnsafeRawBufferPointer, length: Int, major: UInt16) {
        guard bytes.starts(with: magic) else { throw FormatViolation("this is not a natter log") }
        var fields = HeaderFields(bytes, cutShort: FormatViolation("the file's header is cut short"))
        _ = try fields.bytes(magic.count)
        let major = try fields.integer(UInt16.self)
        _ = try fields.integer(UInt16.self)
        let length = Int(try fields.integer(UInt32.self))
        guard length >= minimumBytes, length <= maximumBytes, length <= bytes.count else {
            throw FormatViolation("the length of the file's header is out of range")
        }
        guard let header = bytes.first(length).checked else {
            throw FormatViolation("the checksum of the file's header differs")
        }
        return (header, length, major)
    }

    private init(fields bytes: UnsafeRawBufferPointer) throws(FormatViolation) {
        let outOfRange = FormatViolation("a field of the file's header is out of range")
        var fields = HeaderFields(bytes, cutShort: outOfRange)
        _ = try fields.bytes(SegmentHeader.magic.count)
        _ = (try fields.integer(UInt16.self), try fields.integer(UInt16.self), try fields.integer(UInt32.self))
        store = try fields.identifier(StoreID.self)
        conversation = try fields.identifier(ConversationID.self)
        epoch = Epoch(rawValue: try fields.integer(UInt64.self))
        firstSeq = Seq(try fields.integer(UInt64.self))
        hashBefore = try fields.digest()
        created = Timestamp(milliseconds: try fields.integer(Int64.self))
        dictionary = try fields.identifier(DictionaryID.self)
        guard firstSeq > .zero, let kind = ConversationKind(rawValue: try fields.integer(UInt8.self)) else {
            throw outOfRange
        }
        let flags = try fields.integer(UInt8.self)
        guard flags & ~SegmentHeader.beginningFlag == 0,
            try fields.bytes(SegmentHeader.reservedBytes).allSatisfy({ $0 == 0 })
        else { throw outOfRange }
        self.kind = kind
        isBeginning = flags & SegmentHeader.beginningFlag != 0
        var names = HeaderFields(
            UnsafeRawBufferPointer(rebasing: bytes[fields.offset...]),
            cutShort: FormatViolation("a name in the file's header is malformed"))
        name = try names.text()
        let pair = [try names.text(), try names.text()]
        users = kind == .personal ? pair : []
        guard fields.offset + names.offset == bytes.count else {
            throw FormatViolation("the file's header is longer than its fields")
        }
    }
}
