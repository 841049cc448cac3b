internal import Glibc
internal import NatterCLI
internal import NatterModel
internal import NatterSystem

/// Standard input as one message.
enum StandardInput {
    /// Reads up to the end, but no more than one byte beyond what a message may have; a final newline is dropped.
    ///
    /// - Throws: 65 for what is not UTF-8; 74 if it can't be read. Whether a message may have this text is for
    ///   `TextError.check`.
    static func message(descriptor: Int32 = STDIN_FILENO) throws(CommandFailure) -> String {
        // Room for the newline, and for one byte that shows that there is more.
        let limit = Limits.textBytes.upperBound + 2
        var bytes = [UInt8](repeating: 0, count: limit)
        var count = 0
        while count < limit {
            let got = bytes.withUnsafeMutableBytes {
                read(descriptor, $0.baseAddress?.advanced(by: count), limit - count)
            }
            if got == 0 { break }
            if got > 0 {
                count += got
            } else if errno != EINTR {
                throw CommandFailure(
                    .inputOutput, code: "io_error", "cannot read standard input: \(Errno.current.phrase)")
            }
        }
        let hasNewline = count > 0 && bytes[count - 1] == UInt8(ascii: "\n")
        let text = bytes[..<(hasNewline ? count - 1 : count)]
        if text.count > Limits.textBytes.upperBound {
            throw CommandFailure(
                .invalidData, code: "bad_text",
                "standard input is longer than a message may be, \(Limits.textBytes.upperBound) bytes; nothing was sent"
            )
        }
        guard let text = String(validating: text, as: UTF8.self) else {
            throw CommandFailure(
                .invalidData, code: "bad_text", "standard input is not UTF-8; convert it with iconv. Nothing was sent")
        }
        return text
    }
}
