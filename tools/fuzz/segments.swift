// A segment file: header, dictionary, blocks. A scan ends, reports where, and returns only consecutive blocks.
import NatterModel
import NatterSystem

@testable import NatterLog

/// A disk with one read-only file in memory.
private final class OneFile: Disk, DiskFile {
    let path = "log"
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func size() throws(DiskError) -> UInt64 { UInt64(bytes.count) }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        let start = min(bytes.count, Int(clamping: offset))
        let count = min(buffer.count, bytes.count - start)
        bytes.withUnsafeBytes { buffer.copyBytes(from: $0[start..<start + count]) }
        return count
    }
    func open(_ path: String, _: OpenMode) throws(DiskError) -> any DiskFile { self }

    private func refuse(_ operation: String) -> DiskError {
        DiskError(code: .readOnlyFileSystem, operation: operation, path: path)
    }
    func write(_: UnsafeRawBufferPointer, at _: UInt64) throws(DiskError) { throw refuse("write") }
    func truncate(to _: UInt64) throws(DiskError) { throw refuse("truncate") }
    func sync() throws(DiskError) { throw refuse("sync") }
    func makeDirectory(_: String) throws(DiskError) { throw refuse("make") }
    func rename(_: String, to _: String) throws(DiskError) { throw refuse("rename") }
    func remove(_: String) throws(DiskError) { throw refuse("remove") }
    func syncDirectory(_: String) throws(DiskError) { throw refuse("sync") }
    func list(_: String) throws(DiskError) -> [String] { [path] }
    func freeBytes(_: String) throws(DiskError) -> UInt64 { 0 }
    func information(_: String) throws(DiskError) -> FileInformation? { nil }
}

private func repair(_ bytes: inout [UInt8]) {
    let length = Repair.integer(bytes, at: 12)
    guard length >= 132, length <= min(SegmentHeader.maximumBytes, bytes.count) else { return }
    var place = length
    if bytes[place...].starts(with: LogDictionary.magic), bytes.count >= place + LogDictionary.headerBytes {
        place = Repair.dictionary(at: place, of: &bytes)
        bytes.replaceSubrange(104..<120, with: bytes[length + 16..<length + 32])
    }
    Repair.checksum(of: 0..<length - 4, at: length - 4, of: &bytes)
    while place < bytes.count { place = Repair.block(at: place, of: &bytes) }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let choice = input.byte()
    var bytes = input.bytes
    if choice & 1 != 0 { repair(&bytes) }
    guard let segment = try? Segment.open(at: "log", on: OneFile(bytes)) else { return 0 }
    var place = segment.bodyOffset
    var seq = segment.header.firstSeq
    let end = try? segment.scan(from: segment.bodyOffset, expectedSeq: seq) { found, block in
        require(found.offset == place && found.end <= UInt64(bytes.count), "a block outside the file")
        require(found.header.firstSeq == seq, "a block does not follow")
        (place, seq) = (found.end, block.header.lastSeq.next)
        if let records = try? block.open(with: segment.dictionary) {
            require(records.count == block.header.count, "the count differs")
        }
        return true
    }
    switch end {
    case .clean: require(place == UInt64(bytes.count), "something lies behind a clean end")
    case .torn(let offset, let length), .damaged(let offset, let length, _):
        require(offset == place && offset + length == UInt64(bytes.count), "the damage is elsewhere")
    case nil: break
    }
    return 0
}
