internal import Glibc
internal import NatterCommandLine
internal import NatterModel
internal import NatterSystem

/// Reads standard input as one message, or as lines.
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

    /// Whether it is a pipe with something in it.
    static func hasUnread(_ descriptor: Int32) -> Bool {
        var (information, count) = (stat(), Int32(0))
        return fstat(descriptor, &information) == 0 && information.st_mode & S_IFMT == S_IFIFO
            && ioctl(descriptor, UInt(FIONREAD), &count) == 0 && count > 0
    }

    /// Its lines, one at a time.
    ///
    /// - Parameter limit: the maximum length of a line in bytes.
    static func lines(descriptor: Int32, limit: Int) -> LineReader {
        LineReader(limit: limit) { buffer, mayWait in
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if !mayWait, poll(&request, 1, 0) == 0 { return nil }
            let count = readWaiting(descriptor, buffer.baseAddress, buffer.count)
            guard count >= 0 else {
                throw DiskError(code: Errno.current, operation: "read", path: "standard input")
            }
            return count
        }
    }
}
