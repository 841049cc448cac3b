internal import Glibc
internal import NatterSystem

/// Standard input line by line, in the memory of one line and a buffer. For one thread.
struct InputLines {
    enum Item: Equatable {
        /// Without its line break, `\n` or `\r\n`.
        case line([UInt8])
        /// Longer than the limit; its rest is still to come.
        case tooLong
        /// No whole line has come yet, and reading on would wait.
        case pause
        case end
    }

    private static let chunkBytes = 1 << 17

    private let descriptor: Int32
    private let limit: Int
    private var buffer: [UInt8] = []
    /// What lies before is done with.
    private var start = 0
    private var isAtEnd = false
    /// The number of the line that was given last, counted from 1.
    private(set) var number: Int64 = 0

    /// - Parameter limit: bytes that a line may have.
    init(descriptor: Int32, limit: Int) { (self.descriptor, self.limit) = (descriptor, limit) }

    /// - Parameter mayWait: whether to wait for the next line; else `.pause` says that it has not come.
    mutating func next(mayWait: Bool) throws(DiskError) -> Item {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) { return take(to: end, next: end + 1) }
            // One byte more, for the first half of a line break.
            if buffer.count - start > limit + 1 {
                number += 1
                return .tooLong
            }
            if isAtEnd { return start < buffer.count ? take(to: buffer.count, next: buffer.count) : .end }
            if !mayWait, !isReady { return .pause }
            buffer.removeFirst(start)
            start = 0
            searched = buffer.count
            try fill()
        }
    }

    private mutating func take(to end: Int, next: Int) -> Item {
        let hasReturn = end > start && buffer[end - 1] == UInt8(ascii: "\r")
        let range = start..<(hasReturn ? end - 1 : end)
        start = next
        number += 1
        return range.count > limit ? .tooLong : .line(Array(buffer[range]))
    }

    /// Whether reading would give something, or the end, at once.
    private var isReady: Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, 0) != 0
    }

    private mutating func fill() throws(DiskError) {
        let former = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: InputLines.chunkBytes))
        while true {
            let count = buffer.withUnsafeMutableBytes { bytes in
                read(descriptor, bytes.baseAddress.map { $0 + former }, InputLines.chunkBytes)
            }
            let code = errno
            if count < 0, code == EINTR { continue }
            if count < 0, code == EAGAIN {
                // Another program has made the pipe non-blocking, which it shares with us.
                var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                poll(&request, 1, -1)
                continue
            }
            buffer.removeLast(InputLines.chunkBytes - max(0, count))
            if count < 0 { throw DiskError(code: Errno(rawValue: code), operation: "read", path: "standard input") }
            isAtEnd = count == 0
            return
        }
    }
}
