internal import Glibc
public import NatterModel
internal import NatterSystem

/// Why output could not be written.
public enum OutputError: FailureConvertible, Equatable {
    /// The reader closed the pipe. The program exits silently.
    case closedPipe
    /// The system's error message, such as "no space left on device".
    case failed(code: Int32, name: Phrase)

    /// A closed pipe has an exit code of its own and prints nothing.
    public var failure: CommandFailure {
        switch self {
        case .closedPipe: CommandFailure(.closedPipe, code: "closed_pipe", "the output was closed")
        case .failed(let code, let name): .inputOutput("cannot write \(name): \(Errno(rawValue: code).phrase)")
        }
    }

    /// The failure to print what a command has done. It must not look as if nothing was done.
    public var afterwards: CommandFailure {
        self == .closedPipe
            ? failure : failure.saying("it was done, but the result could not be printed: \(phrase)")
    }
}

/// A buffered writer to a file descriptor. It writes when the buffer is full or `flush` is called. It never flushes
/// when it is deallocated, because that would lose errors. Not thread-safe.
///
/// It expects SIGPIPE to be ignored. See `Signals`.
public final class Output {
    private enum Sink {
        case descriptor(Int32)
        case memory
        /// The descriptor is chosen by the first bytes that are flushed.
        case chosen(by: ([UInt8]) -> Int32)
    }

    public static let bufferBytes = 65_536

    /// The name in messages, such as "standard output".
    public let name: Phrase
    private var sink: Sink
    private var buffer: [UInt8] = []
    private var written: [UInt8] = []
    /// Whether `flush` keeps the bytes, because they are not wanted if the command fails.
    private var isHolding = false
    private static let heldBytes = 1 << 20
    /// The first error. The output may have been written in part, so no byte is written after it.
    private var failure: OutputError?

    /// - Parameter descriptor: the caller still owns it.
    public init(descriptor: Int32, name: Phrase) {
        (sink, self.name) = (.descriptor(descriptor), name)
    }

    /// - Parameter choose: is called once, with the first bytes that are flushed: all that were written, or the first of much
    ///   more. The caller owns the descriptor that it returns.
    public init(name: Phrase, choosing choose: @escaping ([UInt8]) -> Int32) {
        (sink, self.name) = (.chosen(by: choose), name)
    }

    private init(memory name: Phrase) {
        (sink, self.name) = (.memory, name)
    }

    public static func standardOutput() -> Output { Output(descriptor: STDOUT_FILENO, name: "standard output") }
    public static func standardError() -> Output { Output(descriptor: STDERR_FILENO, name: "standard error") }
    /// An output in memory. See `collected`.
    public static func memory() -> Output { Output(memory: "memory") }

    /// An output to the same place with a buffer of its own, for another thread. The program's end flushes the first one, and
    /// must not wait for what the other has not written.
    public func another() -> Output {
        descriptor.map { Output(descriptor: $0, name: name) } ?? self
    }

    /// Everything written to an output in memory, flushed or not. It is empty for other outputs.
    public var collected: [UInt8] {
        if case .memory = sink { written + buffer } else { [] }
    }

    public var isTerminal: Bool {
        descriptor.map(Terminal.isTerminal) ?? false
    }

    /// Where the bytes go; nil for an output in memory.
    var descriptor: Int32? { if case .descriptor(let descriptor) = sink { descriptor } else { nil } }

    /// A word in a table or in a line of fixed form. It is translated on a terminal, but English in a pipe, because
    /// programs read it there.
    public func word(_ phrase: Phrase) -> String { isTerminal ? phrase.text : phrase.english }

    /// The width of the terminal. It is 80 if there is no terminal and `COLUMNS` is unset.
    public func columns(environment: Environment) -> Int {
        Terminal.columns(descriptor ?? -1, environment: environment)
    }

    public func write(_ bytes: some Collection<UInt8>) throws(OutputError) {
        try append { $0.append(contentsOf: bytes) }
    }

    public func write(_ text: String) throws(OutputError) { try write(text.utf8) }

    public func writeLine(_ text: String) throws(OutputError) {
        try append {
            $0.append(contentsOf: text.utf8)
            $0.append(UInt8(ascii: "\n"))
        }
    }

    /// Lets the caller append to the buffer without a copy.
    public func append(_ body: (inout [UInt8]) -> Void) throws(OutputError) {
        if let failure { throw failure }
        body(&buffer)
        if buffer.count >= Output.bufferBytes { try flush() }
    }

    /// Keeps what is written from now on until `release`. More than 1 MiB is not kept.
    func hold() { isHolding = true }

    /// Ends `hold`.
    ///
    /// - Parameter dropping: whether the bytes are dropped instead of written by the next flush.
    func release(dropping: Bool) {
        if isHolding, dropping { buffer.removeAll() }
        isHolding = false
    }

    /// Returns when the system has accepted all bytes.
    public func flush() throws(OutputError) {
        if let failure { throw failure }
        if isHolding, buffer.count < Output.heldBytes { return }
        defer { buffer.removeAll(keepingCapacity: true) }
        if case .chosen(let choose) = sink { sink = .descriptor(choose(buffer)) }
        guard case .descriptor(let descriptor) = sink else {
            written += buffer
            return
        }
        failure = buffer.withUnsafeBytes { send($0, to: descriptor) }
        if let failure { throw failure }
    }

    private func send(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> OutputError? {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = retrying {
                Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            }
            if count > 0 {
                rest = rest.dropFirst(count)
                continue
            }
            // Retrying a write that accepts no bytes would loop forever.
            let code = count < 0 ? errno : EIO
            switch code {
            case EAGAIN:
                // Another program that shares the terminal or pipe has made it non-blocking.
                var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                if retrying({ poll(&request, 1, -1) }) < 0 { return .failed(code: errno, name: name) }
            case EPIPE: return .closedPipe
            default: return .failed(code: code, name: name)
            }
        }
        return nil
    }
}

extension Output {
    /// Writes one JSON object and a newline, unchanged in a pipe. On a terminal, control characters that JSON allows
    /// are written as JSON escapes.
    ///
    /// - Parameter escapes: whether the output ends on a terminal. It is nil if this output can find out itself.
    public func writeJSON(_ object: [UInt8], escapes: Bool? = nil) throws(OutputError) {
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
