public import NatterCrypto
internal import NatterLanguage
public import NatterModel
internal import NatterSystem

/// What a segment file begins with: 128 bytes of fixed fields, three names, a checksum. natter-log(5) has the table.
///
/// It says whose messages these are, so that the index can be made again from the files alone.
public struct SegmentHeader: Equatable, Sendable {
    /// A reader refuses a major that it does not know.
    public static let major: UInt16 = 1
    /// Moves until format 1 is frozen; says who wrote the file, and nobody refuses it.
    public static let minor: UInt16 = 0
    /// First byte not ASCII, a CR LF, a Ctrl-Z: each kind of text-mode copying damages one of them.
    static let magic: [UInt8] = [0x89, 0x4E, 0x41, 0x54, 0x54, 0x0D, 0x0A, 0x1A]
    static let fixedBytes = 128
    public static let maximumBytes = 512

    public var store: StoreID
    public var conversation: ConversationID
    public var epoch: Epoch
    /// The seq of the first block's first message.
    public var firstSeq: Seq
    /// The chain before it.
    public var hashBefore: Digest
    public var created: Timestamp
    /// The dictionary of the record that follows; none: no record follows.
    public var dictionary: DictionaryID
    public var kind: ConversationKind
    /// The conversation's name when the file was made; empty for a personal one.
    public var name: String
    /// Both users of a personal conversation, in byte order; one of them twice for a notebook; none otherwise.
    public var users: [String]

    public init(
        store: StoreID, conversation: ConversationID, epoch: Epoch, firstSeq: Seq, hashBefore: Digest,
        created: Timestamp, dictionary: DictionaryID, kind: ConversationKind, name: String, users: [String]
    ) {
        (self.store, self.conversation, self.epoch, self.firstSeq) = (store, conversation, epoch, firstSeq)
        (self.hashBefore, self.created, self.dictionary) = (hashBefore, created, dictionary)
        (self.kind, self.name, self.users) = (kind, name, users)
    }

    public func encode() -> [UInt8] {
        var names: [UInt8] = []
        for name in [name, users.first ?? "", users.dropFirst().first ?? ""] {
            LEB128.append(UInt64(name.utf8.count), to: &names)
            names += name.utf8
        }
        var bytes = SegmentHeader.magic
        bytes.append(littleEndian: SegmentHeader.major)
        bytes.append(littleEndian: SegmentHeader.minor)
        bytes.append(littleEndian: UInt32(SegmentHeader.fixedBytes + names.count + 4))
        bytes += store.bytes
        bytes += conversation.bytes
        bytes.append(littleEndian: epoch.rawValue)
        bytes.append(littleEndian: firstSeq.rawValue)
        bytes += hashBefore.bytes
        bytes.append(littleEndian: created.milliseconds)
        bytes += dictionary.bytes
        bytes += [kind.rawValue, 0, 0, 0, 0, 0, 0, 0]
        bytes += names
        bytes.append(littleEndian: Checksum.crc32c(bytes))
        return bytes
    }

    /// Reads a header.
    ///
    /// - Parameters:
    ///   - bytes: the start of the file; 512 bytes are always enough.
    ///   - path: for the error.
    /// - Returns: the header and its length.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, path: String
    ) throws(LogError) -> (header: SegmentHeader, length: Int) {
        func damaged(_ reason: Phrase) -> LogError { .damaged(path: path, offset: 0, reason: reason) }
        guard bytes.starts(with: magic) else { throw damaged("this is no natter log") }
        var reader = ByteReader(bytes)
        _ = reader.slice(8)
        guard let major = reader.integer(UInt16.self), reader.integer(UInt16.self) != nil,
            let length = reader.integer(UInt32.self).map({ Int($0) })
        else { throw damaged("the file's header is cut short") }
        // Magic, major, length and the checksum at the end of it are the same in every format, so that a flipped bit does not
        // pass for a newer one.
        guard length >= fixedBytes + 7, length <= maximumBytes, length <= bytes.count else {
            throw damaged("the length of the file's header is out of range")
        }
        let checked = UnsafeRawBufferPointer(rebasing: bytes[..<(length - 4)])
        let checksum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: length - 4, as: UInt32.self))
        guard Checksum.crc32c(checked) == checksum else { throw damaged("the checksum of the file's header differs") }
        guard major == SegmentHeader.major else { throw .newerFormat(path: path, major: major) }
        guard let store = reader.slice(16).flatMap({ StoreID(bytes: $0) }),
            let conversation = reader.slice(16).flatMap({ ConversationID(bytes: $0) }),
            let epoch = reader.integer(UInt64.self), let firstSeq = reader.integer(UInt64.self), firstSeq > 0,
            let hashBefore = reader.slice(32).flatMap({ Digest(bytes: $0) }), let created = reader.integer(Int64.self),
            let dictionary = reader.slice(16).flatMap({ DictionaryID(bytes: $0) }),
            let kind = reader.byte().flatMap({ ConversationKind(rawValue: $0) }),
            let flags = reader.slice(7), flags.allSatisfy({ $0 == 0 })
        else { throw damaged("a field of the file's header is out of range") }
        var names: [String] = []
        for _ in 0..<3 {
            guard let count = reader.leb128(), let field = reader.slice(Int(clamping: count)),
                let name = String(validating: field, as: UTF8.self)
            else { throw damaged("a name in the file's header is malformed") }
            names.append(name)
        }
        guard reader.offset == length - 4 else { throw damaged("the file's header is longer than its fields") }
        let header = SegmentHeader(
            store: store, conversation: conversation, epoch: Epoch(rawValue: epoch), firstSeq: Seq(firstSeq),
            hashBefore: hashBefore, created: Timestamp(milliseconds: created), dictionary: dictionary, kind: kind,
            name: names[0], users: kind == .personal ? Array(names[1...]) : [])
        return (header, length)
    }
}
