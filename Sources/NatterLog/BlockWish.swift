internal import NatterModel

/// The part of a block that a reader wants, as far as columns tell it without the others. A block without it is not decoded.
public struct BlockWish: Sendable {
    /// Accepts the name of a sender.
    public var sender: (@Sendable ([UInt8]) -> Bool)?
    /// Accepts the texts of all messages, joined. They are UTF-8.
    public var text: (@Sendable (UnsafeRawBufferPointer) -> Bool)?

    public init(
        sender: (@Sendable ([UInt8]) -> Bool)? = nil, text: (@Sendable (UnsafeRawBufferPointer) -> Bool)? = nil
    ) {
        (self.sender, self.text) = (sender, text)
    }
}

extension Block {
    /// The names of a block's senders are nearly always within its first bytes.
    private static let bytesOfSenders = 4 << 10

    /// Decompresses a block that was read from a segment, whose checksum is known to be right, and checks the rest except the hash
    /// chain; nil if nothing in it is wanted.
    ///
    /// - Parameters:
    ///   - dictionary: the dictionary that the header names.
    ///   - room: where to unpack it; nil for new memory.
    public func open(
        with dictionary: LogDictionary, wish: BlockWish, in room: UnpackingRoom? = nil
    ) throws(FormatViolation) -> Records? {
        if let isWanted = wish.sender {
            let beginning = try unpack(with: dictionary, upTo: Block.bytesOfSenders, in: room)
            if let senders = BlockPayload.senders(atStartOf: beginning), !senders.contains(where: isWanted) {
                return nil
            }
        }
        let raw = try unpack(with: dictionary, in: room)
        guard let isWanted = wish.text else { return try decode(raw) }
        // A text that is not UTF-8 is damage, which is not passed over.
        let verdict = raw.withUnsafeBytes { raw in
            BlockPayload.text(of: raw).flatMap { BlockPayload.isUTF8($0) ? isWanted($0) : nil }
        }
        return verdict == false ? nil : try decode(raw, isUTF8: verdict == true)
    }
}

extension BlockPayload {
    /// The senders of columns of which only the beginning is known; nil if they do not end there, or are malformed.
    fileprivate static func senders(atStartOf payload: ArraySlice<UInt8>) -> [[UInt8]]? {
        payload.withUnsafeBytes { payload in
            var reader = ByteReader(payload)
            guard reader.byte() == Column.senders, let column = reader.countedBytes() else { return nil }
            var names = ByteReader(column)
            var senders: [[UInt8]] = []
            while !names.isAtEnd {
                guard let name = names.countedBytes() else { return nil }
                senders.append(Array(name))
            }
            return senders
        }
    }

    /// The column of texts; nil if the columns are malformed.
    fileprivate static func text(of payload: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var reader = ByteReader(payload)
        while let id = reader.byte(), let column = reader.countedBytes() {
            if id == Column.text { return column }
        }
        return nil
    }
}
