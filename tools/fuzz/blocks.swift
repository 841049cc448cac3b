// A block from a log or a server. It is refused, or all of its records are valid.
import NatterSystem
import NatterModel

@testable import NatterLog

private let dictionary = LogDictionary(Array("so it goes: is anyone here? yes, try sudo apt-get install ".utf8))

/// Opens a block like every reader does, and checks the properties that all of them rely on.
func openBlock(_ bytes: [UInt8], with dictionary: LogDictionary) {
    guard let header = try? BlockHeader(decoding: bytes) else { return }
    // A block whose announced size exceeds the limit must not be decompressed.
    require(header.rawLength <= BlockHeader.maximumRawLength, "a block of \(header.rawLength) bytes")
    require(header.rawLength <= 255 * header.storedLength + 64, "a bomb")
    let block = Block(header: header, stored: Array(bytes.dropFirst(BlockHeader.byteCount)))
    guard let records = try? block.open(with: dictionary) else { return }
    require(records.count == header.count && records.firstSeq == header.firstSeq, "the count differs")
    require(records.text.count <= header.rawLength, "more text than columns")
    for index in 0..<records.count {
        let record = records[index]
        require(String(validating: record.text, as: UTF8.self) != nil, "a text is not UTF-8")
        require(String(validating: record.sender, as: UTF8.self) != nil, "a sender is not UTF-8")
        require(record.text.count <= Limits.textBytes.upperBound, "a text is too long")
        require(record.time >= header.lowestTime && record.time <= header.highestTime, "a time is out of range")
        require(record.about.map { $0 < record.seq && $0 > .zero } ?? true, "about a later message")
    }
    _ = try? block.verify(with: dictionary)
    // After it is encoded and decoded again, the content must be the same.
    let columns = BlockPayload.encode(records, 0..<records.count, baseTime: header.baseTime.milliseconds)
    guard columns.count <= BlockHeader.maximumRawLength else { return }
    let again = try? Block(
        sealing: records, of: ConversationID(high: 1, low: 2), hashBefore: .zero, dictionary: .none, effort: .light)
    let read = try? again?.verify(with: .none)
    require(read?.text == records.text && read?.count == records.count, "it is another one when written again")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let choice = input.byte()
    var bytes = input.bytes
    if choice & 1 != 0, bytes.count > BlockHeader.byteCount {
        // Correct the lengths as well, so that the fuzzer tests the code after the length checks.
        if choice & 4 != 0 {
            let stored = UInt32(bytes.count - BlockHeader.byteCount)
            Repair.put(stored, at: 24, of: &bytes)
            if bytes[4] == BlockHeader.Codec.raw.rawValue { Repair.put(stored, at: 20, of: &bytes) }
        }
        if choice & 2 != 0 {
            let id = dictionary.id
            bytes.replaceSubrange(64..<80, with: id.bytes)
        }
        Repair.block(at: 0, of: &bytes)
    }
    openBlock(bytes, with: choice & 2 != 0 ? dictionary : .none)
    return 0
}
