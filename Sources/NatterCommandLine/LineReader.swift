internal import Glibc

/// Reads lines of a file or a pipe with the memory of one line and a buffer, and without a byte order mark.
public struct LineReader {
    public enum Item: Equatable {
        /// A line without its newline, `\n` or `\r\n`.
        case line([UInt8])
        /// A line longer than the limit. The rest of it is not read yet.
        case tooLong
        /// No complete line has arrived yet, and reading would block.
        case pause
        case end
    }

    public struct TooLong: Error {}

    /// Fills a buffer as far as it can. It is also told whether it may wait for that.
    ///
    /// - Returns: the number of bytes, or 0 at the end; nil if it would have to wait and may not.
    public typealias Source = (UnsafeMutableRawBufferPointer, _ mayWait: Bool) throws -> Int?

    private static let chunkBytes = 1 << 18

    private let limit: Int
    private let source: Source
    private var buffer: [UInt8] = []
    /// The bytes before this offset were already returned.
    private var start = 0
    private var isAtEnd = false
    /// The number of the last line, counted from 1.
    public private(set) var number: Int64 = 0

    /// - Parameter limit: the maximum length of a line in bytes.
    public init(limit: Int, source: @escaping Source) { (self.limit, self.source) = (limit, source) }

    /// The next line; nil at the end.
    ///
    /// - Throws: `TooLong`, and errors of the source.
    public mutating func next() throws -> [UInt8]? {
        switch try next(mayWait: true) {
        case .line(let line): line
        case .tooLong: throw TooLong()
        case .pause, .end: nil
        }
    }

    /// - Parameter mayWait: true to wait for the next line, false to return `.pause` instead.
    public mutating func next(mayWait: Bool) throws -> Item {
        var searched = start
        while true {
            let newline = buffer.withUnsafeBytes { bytes -> Int? in
                guard let base = bytes.baseAddress, searched < bytes.count else { return nil }
                return memchr(base + searched, 0x0A, bytes.count - searched).map { UnsafeRawPointer($0) - base }
            }
            if let newline { return makeItem(to: newline, next: newline + 1) }
            // Room for a byte order mark, and for the `\r` of a newline.
            if buffer.count - start > limit + ByteOrderMark.count + 1 {
                number += 1
                return .tooLong
            }
            if isAtEnd { return start < buffer.count ? makeItem(to: buffer.count, next: buffer.count) : .end }
            buffer.removeFirst(start)
            start = 0
            searched = buffer.count
            var isPause = false
            buffer += try [UInt8](unsafeUninitializedCapacity: LineReader.chunkBytes) { chunk, filled in
                guard let count = try source(UnsafeMutableRawBufferPointer(chunk), mayWait) else {
                    isPause = true
                    return
                }
                filled = count
                isAtEnd = count == 0
            }
            if isPause { return .pause }
        }
    }

    private mutating func makeItem(to end: Int, next: Int) -> Item {
        if number == 0 { start += ByteOrderMark.length(in: buffer[start..<end]) }
        let hasReturn = end > start && buffer[end - 1] == UInt8(ascii: "\r")
        let range = start..<(hasReturn ? end - 1 : end)
        start = next
        number += 1
        return range.count > limit ? .tooLong : .line(Array(buffer[range]))
    }
}
