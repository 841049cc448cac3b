internal import Glibc
public import NatterLanguage
internal import NatterSystem

/// Why output could not be written.
public enum OutputError: Error, Equatable, PhraseConvertible {
    /// Nobody reads it any more; the program ends and says nothing.
    case closedPipe
    /// What the system said, as `errno`, such as "no space left on device".
    case failed(code: Int32, name: Phrase)

    public var phrase: Phrase {
        switch self {
        case .closedPipe: "the output was closed"
        case .failed(let code, let name): "cannot write \(name): \(Errno(rawValue: code).phrase)"
        }
    }
}

/// A buffered writer on a file descriptor. Nothing is written before the buffer is full or `flush` is called, and
/// nothing is flushed by itself at the end, since an error there would be lost. For one thread.
///
/// It expects SIGPIPE to be ignored; see `Signals`.
public final class Output {
    private enum Sink {
        case descriptor(Int32)
        case memory
    }

    public static let bufferBytes = 65_536

    /// How messages name it, such as "standard output".
    public let name: Phrase
    private let sink: Sink
    private var buffer: [UInt8] = []
    private var written: [UInt8] = []
    /// After an error, what had been handed over may have been written in part: no byte more goes out behind it.
    private var failure: OutputError?

    /// - Parameter descriptor: stays the caller's to close.
    public init(descriptor: Int32, name: Phrase) {
        (sink, self.name) = (.descriptor(descriptor), name)
    }

    private init(memory name: Phrase) {
        (sink, self.name) = (.memory, name)
    }

    public static func standardOutput() -> Output { Output(descriptor: STDOUT_FILENO, name: "standard output") }
    public static func standardError() -> Output { Output(descriptor: STDERR_FILENO, name: "standard error") }
    /// One that keeps everything, for `collected`.
    public static func memory() -> Output { Output(memory: "memory") }

    /// What a memory output was given, flushed or not; empty for others.
    public var collected: [UInt8] {
        if case .memory = sink { written + buffer } else { [] }
    }

    public var isTerminal: Bool {
        if case .descriptor(let descriptor) = sink { Terminal.isTerminal(descriptor) } else { false }
    }

    /// A word of a table, or of a line of fixed form: in the reader's language on a terminal, the same for everybody in a
    /// pipe, where programs read it.
    public func word(_ phrase: Phrase) -> String { isTerminal ? phrase.text : phrase.english }

    /// The width of its terminal; 80 if it is none and `COLUMNS` says nothing.
    public func columns(environment: Environment) -> Int {
        let descriptor: Int32 = if case .descriptor(let descriptor) = sink { descriptor } else { -1 }
        return Terminal.columns(descriptor, environment: environment)
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

    /// Lets the caller add to the buffer in its place, without a copy of its own.
    public func append(_ body: (inout [UInt8]) -> Void) throws(OutputError) {
        if let failure { throw failure }
        body(&buffer)
        if buffer.count >= Output.bufferBytes { try flush() }
    }

    /// Returns once the system has all bytes.
    public func flush() throws(OutputError) {
        if let failure { throw failure }
        defer { buffer.removeAll(keepingCapacity: true) }
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
            let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count > 0 {
                rest = rest.dropFirst(count)
                continue
            }
            // A write of more than no bytes that takes none would repeat for ever.
            let code = count < 0 ? errno : EIO
            switch code {
            case EINTR: continue
            case EAGAIN:
                // Another program has made the terminal or pipe non-blocking, which it shares with us.
                var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                if poll(&request, 1, -1) < 0, errno != EINTR { return .failed(code: errno, name: name) }
            case EPIPE: return .closedPipe
            default: return .failed(code: code, name: name)
            }
        }
        return nil
    }
}
