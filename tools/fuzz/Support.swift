import NatterLog
import NatterModel
import NatterSystem

/// The input from libFuzzer. The first bytes choose the test, and the rest is the data.
struct FuzzInput {
    private(set) var rest: ArraySlice<UInt8>

    init(_ start: UnsafePointer<UInt8>?, _ count: Int) {
        rest = ArraySlice(UnsafeBufferPointer(start: start, count: start == nil ? 0 : count))
    }

    /// The next byte, or 0 if there is none.
    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    var bytes: [UInt8] { Array(rest) }
    var text: String { String(decoding: rest, as: UTF8.self) }
}

/// Ends the process if the condition is false. libFuzzer reports that as a finding.
func require(_ condition: Bool, _ what: @autoclosure () -> String) {
    if !condition { preconditionFailure(what()) }
}

/// Corrects checksums, so that the fuzzer reaches the code that runs after the check.
enum Repair {
    static func integer(_ bytes: [UInt8], at offset: Int) -> Int {
        guard offset + 4 <= bytes.count else { return 0 }
        return (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << ($1 * 8) }
    }

    static func put(_ value: UInt32, at offset: Int, of bytes: inout [UInt8]) {
        guard offset + 4 <= bytes.count else { return }
        for place in 0..<4 { bytes[offset + place] = UInt8(truncatingIfNeeded: value >> UInt32(place * 8)) }
    }

    static func checksum(of range: Range<Int>, at offset: Int, of bytes: inout [UInt8]) {
        guard range.upperBound <= bytes.count else { return }
        put(Checksum.crc32c(Array(bytes[range])), at: offset, of: &bytes)
    }

    /// Corrects the checksums of the block that begins at `start`.
    ///
    /// - Returns: the end of the block, or the end of the bytes if they are shorter.
    @discardableResult
    static func block(at start: Int, of bytes: inout [UInt8]) -> Int {
        let body = start + BlockHeader.byteCount
        guard body <= bytes.count else { return bytes.count }
        let end = min(bytes.count, body + integer(bytes, at: start + 24))
        checksum(of: body..<end, at: start + 28, of: &bytes)
        checksum(of: start..<body - 4, at: body - 4, of: &bytes)
        return end
    }

    /// Corrects the checksums of the dictionary that begins at `start`.
    @discardableResult
    static func dictionary(at start: Int, of bytes: inout [UInt8]) -> Int {
        let body = start + LogDictionary.headerBytes
        guard body <= bytes.count else { return bytes.count }
        let end = min(bytes.count, body + integer(bytes, at: start + 12))
        // Only an uncompressed dictionary can be given its correct id.
        if bytes[start + 4] == 0, end > body {
            bytes.replaceSubrange(start + 16..<start + 32, with: LogDictionary(bytes[body..<end]).id.bytes)
        }
        checksum(of: body..<end, at: start + 32, of: &bytes)
        checksum(of: start..<start + 36, at: start + 36, of: &bytes)
        return end
    }
}
