internal import CLZ4

/// The LZ4 block format, with a dictionary.
///
/// - SeeAlso: "LZ4 Block Format Description", doc/lz4_Block_format.md in the lz4 repository.
public enum LZ4 {
    /// For dictionaries, which are packed once for each segment.
    static let bestLevel = Int32(LZ4HC_CLEVEL_MAX)

    /// - Returns: nil if compression does not make the bytes shorter.
    static func compress(_ bytes: [UInt8], dictionary: [UInt8], level: Int32) -> [UInt8]? {
        guard bytes.count > 1, bytes.count <= BlockHeader.maximumRawLength, let stream = LZ4_createStreamHC() else {
            return nil
        }
        defer { LZ4_freeStreamHC(stream) }
        LZ4_resetStreamHC_fast(stream, level)
        return dictionary.withUnsafeBytes { dictionary in
            if let start = dictionary.bindMemory(to: CChar.self).baseAddress {
                LZ4_loadDictHC(stream, start, Int32(dictionary.count))
            }
            return packed(bytes) { LZ4_compress_HC_continue(stream, $0, $1, $2, $3) }
        }
    }

    /// - Parameter pack: gets the bytes, room for fewer, and both lengths, and returns how much of the room it has filled.
    /// - Returns: nil if that makes the bytes no shorter.
    private static func packed(
        _ bytes: [UInt8], _ pack: (UnsafePointer<CChar>?, UnsafeMutablePointer<CChar>?, Int32, Int32) -> Int32
    ) -> [UInt8]? {
        let packed = bytes.withUnsafeBytes { bytes in
            [UInt8](unsafeUninitializedCapacity: bytes.count - 1) { output, filled in
                output.withMemoryRebound(to: CChar.self) { output in
                    let source = bytes.bindMemory(to: CChar.self).baseAddress
                    filled = Int(max(0, pack(source, output.baseAddress, Int32(bytes.count), Int32(output.count))))
                }
            }
        }
        return packed.isEmpty ? nil : packed
    }

    /// Decompresses to exactly `rawLength` bytes; nil if the result has another length. Both lengths are checked
    /// first, because LZ4 1.9 does not refuse a negative length.
    ///
    /// - Parameters:
    ///   - limit: decompresses no more than so many bytes of the beginning.
    ///   - room: where to do it; nil for new memory.
    static func decompress(
        _ bytes: UnsafeRawBufferPointer, rawLength: Int, dictionary: LogDictionary, upTo limit: Int = .max,
        in room: UnpackingRoom? = nil
    ) -> ArraySlice<UInt8>? {
        guard bytes.count > 0, bytes.count <= BlockHeader.maximumRawLength, rawLength > 0,
            rawLength <= BlockHeader.maximumRawLength
        else { return nil }
        let (known, wanted) = (dictionary.bytes.count, max(1, min(limit, rawLength)))
        let isPart = limit < rawLength
        if let room {
            room.prepare(dictionary, bytes: wanted)
            let length = room.bytes.withUnsafeMutableBufferPointer {
                fill($0, behind: known, from: bytes, wanted: wanted, isPart: isPart)
            }
            return length == wanted ? room.bytes[known..<known + wanted] : nil
        }
        return unpack(bytes, wanted: wanted, isPart: isPart, dictionary.bytes)
    }

    /// - Parameter isDamaged: returns zeros for bytes that can't be had, and perhaps wrong ones, instead of nil.
    private static func unpack(
        _ bytes: UnsafeRawBufferPointer, wanted: Int, isPart: Bool = false, _ dictionary: [UInt8] = [],
        isDamaged: Bool = false
    ) -> ArraySlice<UInt8>? {
        let known = dictionary.count
        var length = -1
        let unpacked = [UInt8](unsafeUninitializedCapacity: known + wanted) { room, filled in
            _ = room.initialize(fromContentsOf: dictionary)
            if isDamaged { UnsafeMutableBufferPointer(rebasing: room[known...]).initialize(repeating: 0) }
            length = fill(room, behind: known, from: bytes, wanted: wanted, isPart: isPart)
            filled = known + (isDamaged ? wanted : max(0, length))
        }
        return isDamaged || length == wanted ? unpacked[known...] : nil
    }

    /// Decompresses to just behind a dictionary, which is twice as fast as with a dictionary elsewhere.
    ///
    /// - Returns: how many bytes were had; negative if the bytes are malformed.
    private static func fill(
        _ room: UnsafeMutableBufferPointer<UInt8>, behind known: Int, from bytes: UnsafeRawBufferPointer, wanted: Int,
        isPart: Bool
    ) -> Int {
        room.withMemoryRebound(to: CChar.self) { room in
            guard let start = room.baseAddress else { return -1 }
            let source = bytes.bindMemory(to: CChar.self).baseAddress
            let (count, wanted, size) = (Int32(bytes.count), Int32(wanted), Int32(known))
            let length =
                isPart
                ? LZ4_decompress_safe_partial_usingDict(source, start + known, count, wanted, wanted, start, size)
                : LZ4_decompress_safe_usingDict(source, start + known, count, wanted, start, size)
            return Int(length)
        }
    }

    // MARK: Without a dictionary

    /// The most bytes that one byte of a compressed block stands for.
    public static let highestRatio = 255

    /// Compresses some hundred megabytes a second, for data that is read once and then deleted.
    /// - Returns: nil if compression does not make the bytes shorter.
    public static func compressFast(_ bytes: [UInt8]) -> [UInt8]? {
        guard bytes.count > 1, bytes.count <= Int(LZ4_MAX_INPUT_SIZE) else { return nil }
        return packed(bytes) { LZ4_compress_default($0, $1, $2, $3) }
    }

    /// Decompresses to exactly `rawLength` bytes.
    /// - Parameter isDamaged: returns zeros for bytes that can't be had, and perhaps wrong ones, instead of nil.
    public static func decompressFast(
        _ bytes: UnsafeRawBufferPointer, rawLength: Int, isDamaged: Bool
    ) -> [UInt8]? {
        guard bytes.count > 0, bytes.count <= Int(LZ4_MAX_INPUT_SIZE), rawLength > 0,
            rawLength <= min(bytes.count * highestRatio, Int(LZ4_MAX_INPUT_SIZE))
        else { return nil }
        return unpack(bytes, wanted: rawLength, isDamaged: isDamaged).map { Array($0) }
    }
}

/// Memory in which a walk through much unpacks one block after another. Most have the dictionary of the one before, which
/// then stands there already. Not thread-safe.
public final class UnpackingRoom {
    /// A dictionary, and behind it the columns of the last block.
    fileprivate var bytes: [UInt8] = []
    private var dictionary = DictionaryID.none

    public init() {}

    fileprivate func prepare(_ dictionary: LogDictionary, bytes wanted: Int) {
        let known = dictionary.bytes.count
        if dictionary.id != self.dictionary {
            bytes.replaceSubrange(0..<min(known, bytes.count), with: dictionary.bytes)
            self.dictionary = dictionary.id
        }
        let missing = known + wanted - bytes.count
        if missing > 0 { bytes.append(contentsOf: repeatElement(0, count: missing)) }
    }
}

extension Block {
    /// The library with its version, for `--version`.
    public static var library: String { "LZ4 " + String(cString: LZ4_versionString()) }
}
