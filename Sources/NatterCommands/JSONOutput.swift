internal import NatterCLI

extension Output {
    /// One object on its line: exact in a pipe; on a terminal, control characters that JSON would let through are
    /// escaped so that it still says the same.
    ///
    /// - Parameter escapes: whether it ends on a terminal, if this output does not know by itself.
    func writeJSON(_ object: some Collection<UInt8>, escapes: Bool? = nil) throws(OutputError) {
        let isTerminal = escapes ?? isTerminal
        try append { bytes in
            if isTerminal {
                TerminalText.append(escaping: object, .json, to: &bytes)
            } else {
                bytes.append(contentsOf: object)
            }
            bytes.append(UInt8(ascii: "\n"))
        }
    }
}
