internal import Glibc
internal import NatterCLI
internal import NatterLanguage
internal import NatterModel
internal import NatterSystem

/// Reads standard input as one message.
enum StandardInput {
    /// Reads to the end, but at most one byte more than the limit for messages. A final newline is dropped.
    ///
    /// - Parameter name: how errors call it.
    /// - Throws: 65 if it is not UTF-8; 66 if it cannot be read. `TextError.check` checks the text itself.
    static func message(
        descriptor: Int32 = STDIN_FILENO, name: Phrase = "standard input"
    ) throws(CommandFailure) -> String {
        // Room for the newline, and for one byte that shows that the message is too long.
        let limit = Limits.textBytes.upperBound + 2
        var bytes = [UInt8](repeating: 0, count: limit)
        var count = 0
        while count < limit {
            let got = bytes.withUnsafeMutableBytes {
                readWaiting(descriptor, $0.baseAddress?.advanced(by: count), limit - count)
            }
            if got == 0 { break }
            guard got > 0 else {
                let code = Errno.current
                throw CommandFailure(unreadable: code, "cannot read \(name): \(code.phrase)")
            }
            count += got
        }
        let hasNewline = count > 0 && bytes[count - 1] == UInt8(ascii: "\n")
        let text = bytes[..<(hasNewline ? count - 1 : count)]
        if text.count > Limits.textBytes.upperBound {
            throw CommandFailure(
                .invalidData, code: "bad_text",
                "\(name) is longer than the limit for a message, \(Limits.textBytes.upperBound) bytes; nothing was sent"
            )
        }
        guard let text = String(validating: text, as: UTF8.self) else {
            throw CommandFailure(
                .invalidData, code: "bad_text", "\(name) is not UTF-8; convert it with iconv. Nothing was sent")
        }
        return text
    }
}

/// Reads standard input line by line, with the memory of one line and a buffer, and without a byte order mark. Not thread-safe.
struct InputLines {
    enum Item: Equatable {
        /// A line without its newline, `\n` or `\r\n`.
        case line([UInt8])
        /// A line longer than the limit. The rest of it is not read yet.
        case tooLong
        /// No complete line has arrived yet, and reading would block.
        case pause
        case end
    }

    private static let chunkBytes = 1 << 17

    private let descriptor: Int32
    private let limit: Int
    private var buffer: [UInt8] = []
    /// The bytes before this offset were already returned.
    private var start = 0
    private var isAtEnd = false
    /// The number of the last returned line, counted from 1.
    private(set) var number: Int64 = 0

    /// - Parameter limit: the maximum length of a line in bytes.
    init(descriptor: Int32, limit: Int) { (self.descriptor, self.limit) = (descriptor, limit) }

    /// - Parameter mayWait: true to wait for the next line, false to return `.pause` instead.
    mutating func next(mayWait: Bool) throws(DiskError) -> Item {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) { return take(to: end, next: end + 1) }
            // Room for a byte order mark, and for the `\r` of a newline.
            if buffer.count - start > limit + ByteOrderMark.count + 1 {
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
        if number == 0 { start += ByteOrderMark.length(in: buffer[start..<end]) }
        let hasReturn = end > start && buffer[end - 1] == UInt8(ascii: "\r")
        let range = start..<(hasReturn ? end - 1 : end)
        start = next
        number += 1
        return range.count > limit ? .tooLong : .line(Array(buffer[range]))
    }

    /// True if reading returns data or the end immediately.
    private var isReady: Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, 0) != 0
    }

    private mutating func fill() throws(DiskError) {
        var (count, code) = (0, Errno.current)
        buffer += [UInt8](unsafeUninitializedCapacity: InputLines.chunkBytes) { chunk, filled in
            count = readWaiting(descriptor, chunk.baseAddress, chunk.count)
            code = Errno.current
            filled = max(0, count)
        }
        if count < 0 { throw DiskError(code: code, operation: "read", path: "standard input") }
        isAtEnd = count == 0
    }
}
