internal import Glibc
internal import NatterCLI

/// Reads lines of a file or a pipe, one at a time, in bounded memory and without a byte order mark.
struct LineReader: ~Copyable {
    enum Failure: Error {
        /// The next line is longer than the limit.
        case tooLong
    }

    private static let chunkBytes = 1 << 18

    private let source: (UnsafeMutableRawBufferPointer) throws -> Int
    private let limit: Int
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// The number of the last line, counted from 1.
    private(set) var number = 0

    /// - Parameters:
    ///   - limit: the maximum length of a line in bytes, without its newline.
    ///   - source: fills a buffer as far as it can and returns the number of bytes, or 0 at the end.
    init(limit: Int, source: @escaping (UnsafeMutableRawBufferPointer) throws -> Int) {
        (self.limit, self.source) = (limit, source)
    }

    /// Calls `body` with the next line, without its newline.
    ///
    /// - Returns: nil at the end.
    mutating func next<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result? {
        var searched = start
        while true {
            let newline = buffer.withUnsafeBytes { bytes -> Int? in
                guard let base = bytes.baseAddress, searched < bytes.count else { return nil }
                return memchr(base + searched, 0x0A, bytes.count - searched).map { UnsafeRawPointer($0) - base }
            }
            if let newline {
                return try give(start..<newline, next: newline + 1, body)
            }
            guard buffer.count - start <= limit + ByteOrderMark.count else {
                number += 1
                throw Failure.tooLong
            }
            if isAtEnd {
                return start < buffer.count ? try give(start..<buffer.count, next: buffer.count, body) : nil
            }
            searched = buffer.count - start
            try fill()
        }
    }

    private mutating func give<Result>(
        _ range: Range<Int>, next: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        let range = number == 0 ? range.dropFirst(ByteOrderMark.length(in: buffer[range])) : range
        number += 1
        start = next
        guard range.count <= limit else { throw Failure.tooLong }
        return try buffer.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    private mutating func fill() throws {
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer += try [UInt8](unsafeUninitializedCapacity: LineReader.chunkBytes) { chunk, filled in
            filled = try source(UnsafeMutableRawBufferPointer(chunk))
            isAtEnd = filled == 0
        }
    }
}
