// The body of a sync from a malicious server. It gives the same frames however it is split, or it is refused.
import NatterModel
import NatterProtocol

@testable import NatterClient
@testable import NatterLog

private func read(_ bytes: [UInt8], pieces: Int) -> (frames: [SyncFrame], isMalformed: Bool) {
    var reader = SyncFrameReader()
    var frames: [SyncFrame] = []
    var rest = bytes[...]
    do {
        while !rest.isEmpty {
            rest.prefix(pieces).withUnsafeBytes { reader.feed($0) }
            rest = rest.dropFirst(pieces)
            while let frame = try reader.next() { frames.append(frame) }
        }
    } catch {
        return (frames, true)
    }
    return (frames, false)
}

private func repair(_ bytes: inout [UInt8]) {
    var place = 0
    while place + SyncFrame.headerBytes <= bytes.count {
        let body = place + SyncFrame.headerBytes
        let end = min(bytes.count, body + Repair.integer(bytes, at: place + 4))
        if bytes[place] == SyncFrame.Kind.block.rawValue || bytes[place] == SyncFrame.Kind.provisional.rawValue {
            var payload = Array(bytes[body..<end])
            Repair.block(at: 0, of: &payload)
            bytes.replaceSubrange(body..<end, with: payload)
        }
        Repair.checksum(of: body..<end, at: place + 8, of: &bytes)
        Repair.checksum(of: place..<place + 12, at: place + 12, of: &bytes)
        place = end
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let choice = input.byte()
    let pieces = Int(input.byte()) + 1
    var bytes = input.bytes
    if choice & 1 != 0 { repair(&bytes) }
    let whole = read(bytes, pieces: max(1, bytes.count))
    let cut = read(bytes, pieces: pieces)
    require(whole.frames == cut.frames && whole.isMalformed == cut.isMalformed, "the pieces make a difference")
    var again: [UInt8] = []
    for frame in whole.frames { frame.append(to: &again) }
    require(bytes.starts(with: again), "a frame is not what was sent")

    var dictionary = LogDictionary.none
    for frame in whole.frames {
        switch frame.kind {
        case .line: _ = try? SyncItem(line: frame.payload)
        case .dictionary:
            if let read = try? frame.payload.withUnsafeBytes({ try LogDictionary(decoding: $0) }) {
                require(read.bytes.count <= LogDictionary.maximumBytes, "a dictionary is too long")
                dictionary = read
            }
        case .block, .provisional:
            guard let header = try? BlockHeader(decoding: frame.payload) else { continue }
            let block = Block(header: header, stored: Array(frame.payload.dropFirst(BlockHeader.byteCount)))
            _ = try? block.verify(with: dictionary)
        }
    }
    return 0
}
