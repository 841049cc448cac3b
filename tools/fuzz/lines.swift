// The reader of lines, of imports and of `send --ndjson`. It returns each line once, in order, and none longer than the limit,
// however the bytes arrive.
import NatterCommandLine

private let limit = 64

/// The expected lines, computed in the simplest way.
private func expected(_ bytes: [UInt8]) -> [[UInt8]] {
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map { Array($0) }
    if lines.last?.isEmpty == true { lines.removeLast() }
    if let first = lines.first { lines[0].removeFirst(ByteOrderMark.length(in: first[...])) }
    return lines.map { $0.last == 0x0D ? $0.dropLast() : $0 }
}

private func read(_ bytes: [UInt8], waits: Bool) {
    // The first byte of the input chooses the size of the pieces.
    let most = Int(bytes.first ?? 0) + 1
    var rest = bytes[...]
    var hasArrived = false
    var reader = LineReader(limit: limit) { buffer, mayWait in
        hasArrived.toggle()
        guard hasArrived || mayWait else { return nil }
        let piece = rest.prefix(min(most, buffer.count))
        buffer.copyBytes(from: piece)
        rest = rest.dropFirst(piece.count)
        return piece.count
    }
    func next() -> LineReader.Item? {
        while true {
            let item = try? reader.next(mayWait: waits)
            if item != .pause { return item }
        }
    }
    for line in expected(bytes) {
        switch next() {
        case .line(let read): require(read == line, "a line differs")
        case .tooLong:
            require(line.count > limit, "a short line is too long")
            return
        default: preconditionFailure("a line is missing")
        }
    }
    require(next() == .end, "there is one line more")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = FuzzInput(start, count).bytes
    read(bytes, waits: true)
    read(bytes, waits: false)
    return 0
}
