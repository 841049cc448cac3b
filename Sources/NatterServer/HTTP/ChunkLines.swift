/// Finds lines around the chunks of a body that end in a bare line feed, which RFC 9112 does not allow.
///
/// libmicrohttpd takes such a line as well, and passes on only what is in the chunks. But it passes it on in its own buffer, where
/// the lines before a piece are still to be seen, and also what has arrived behind it. Only a line that arrives without any
/// byte of a chunk leaves no trace. Nobody can smuggle a request by it, because nothing that follows a body in chunks is
/// read.
struct ChunkLines {
    /// Where the library reads the body to.
    private let start: UnsafeRawPointer
    private var pieceEnd: UnsafeRawPointer
    private var turn: UInt64
    /// The bytes behind the last piece. They belong to the body only if it ends in the same turn of the loop, in which the library
    /// reads once.
    private var rest: [UInt8] = []
    /// So many bytes lie behind each piece: the records of the headers, at the end of the connection's memory.
    private static let restCount = 32

    /// - Parameter start: the end of the head in the library's buffer.
    init(from start: UnsafeRawPointer, turn: UInt64) { (self.start, pieceEnd, self.turn) = (start, start, turn) }

    /// Whether the lines before a piece are valid, as far as they came in the same turn.
    mutating func areValid(before piece: UnsafeRawBufferPointer, turn: UInt64) -> Bool {
        guard let place = piece.baseAddress, place >= start else { return true }
        let first = turn == self.turn && pieceEnd <= place ? pieceEnd : start
        (pieceEnd, self.turn) = (place + piece.count, turn)
        rest.removeAll(keepingCapacity: true)
        rest.append(contentsOf: UnsafeRawBufferPointer(start: pieceEnd, count: ChunkLines.restCount))
        return ChunkLines.areValid(UnsafeRawBufferPointer(start: first, count: place - first), isEnd: false)
    }

    /// Whether the lines behind the last piece are valid.
    func areValid(atEndIn turn: UInt64) -> Bool {
        turn != self.turn || rest.withUnsafeBytes { ChunkLines.areValid($0, isEnd: true) }
    }

    /// - Parameter isEnd: whether the lines are those behind the last chunk's content, which an empty line ends.
    private static func areValid(_ bytes: UnsafeRawBufferPointer, isEnd: Bool) -> Bool {
        var (former, line, count) = (UInt8(0), 0, 0)
        for (index, byte) in bytes.enumerated() {
            if byte == UInt8(ascii: "\n") {
                guard former == UInt8(ascii: "\r") else { return false }
                // The first line is the end of the chunk.
                if isEnd, count > 0, index == line + 1 { return true }
                (line, count) = (index + 1, count + 1)
            }
            former = byte
        }
        return true
    }
}
