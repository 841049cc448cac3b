internal import Glibc
internal import NatterSystem

/// Lines of a file or a pipe, one at a time, in bounded memory. For one thread.
struct LineReader: ~Copyable {
    enum Failure: Error {
        case disk(DiskError)
        /// The line that began is longer than the limit.
        case tooLong
    }

    private static let chunkBytes = 1 << 18

    private let descriptor: Int32
    private let isOwned: Bool
    private let name: String
    private let limit: Int
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// The number of the line that was given last, counted from 1.
    private(set) var number = 0

    /// - Parameters:
    ///   - path: `-` is standard input.
    ///   - limit: bytes that a line may have without its newline.
    init(_ path: String, limit: Int) throws(DiskError) {
        if path == "-" {
            (descriptor, isOwned, name) = (STDIN_FILENO, false, "standard input")
        } else {
            descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw DiskError(operation: "open", path: path) }
            (isOwned, name) = (true, path)
        }
        self.limit = limit
    }

    deinit { if isOwned { close(descriptor) } }

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
            guard buffer.count - start <= limit else {
                number += 1
                throw Failure.tooLong
            }
            if isAtEnd {
                return start < buffer.count ? try give(start..<buffer.count, next: buffer.count, body) : nil
            }
            searched = buffer.count - start
            try fill()
            searched += start
        }
    }

    private mutating func give<Result>(
        _ range: Range<Int>, next: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        number += 1
        start = next
        guard range.count <= limit else { throw Failure.tooLong }
        return try buffer.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    private mutating func fill() throws(Failure) {
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        var count = 0
        var code: Int32 = 0
        buffer += [UInt8](unsafeUninitializedCapacity: LineReader.chunkBytes) { chunk, filled in
            repeat {
                count = read(descriptor, chunk.baseAddress, LineReader.chunkBytes)
                code = errno
            } while count < 0 && code == EINTR
            filled = max(0, count)
        }
        if count < 0 { throw .disk(DiskError(code: code, operation: "read", path: name)) }
        isAtEnd = count == 0
    }
}
