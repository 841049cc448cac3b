internal import Glibc
internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// Performs an operation for a command. If a server runs on the directory, it sends the operation there. Otherwise it
/// opens the store itself.
struct OperatorClient {
    /// How long a command waits until another command releases the store, until a server has started or stopped, or until
    /// a server greets.
    static let patienceMilliseconds: Int64 = 10_000
    private static let pauseMicroseconds: UInt32 = 20_000

    let arguments: Arguments
    let console: Console
    /// The data of the operation, if it takes some.
    var input: (any InputSource)?
    /// Whether the operation's own data are lines of JSON. On a terminal, control characters that JSON allows are escaped.
    var printsJSON = false
    /// Where the operation's data go at present; nil for standard output.
    var destination: () -> Output? = { nil }
    /// Prints a reply.
    let present: (OperationReply) throws -> Void

    /// - Parameter alone: performs the operation if no server runs on the directory. With nil, the store is opened for
    ///   it.
    /// - Throws: the error of this process or of the server.
    func perform(
        _ operation: Operation, alone: ((any OperationChannel) throws -> ExitCode)? = nil
    ) throws -> ExitCode {
        let directory = try DataDirectory.path(arguments, console)
        let socket = OperatorSocket(of: directory)
        let deadline = MonotonicClock.now() + OperatorClient.patienceMilliseconds
        while true {
            // Ask the server first, because even a briefly held lock could keep a server from starting.
            if let stream = try socket.connect(), let code = try ask(operation, FrameStream(stream), directory) {
                return code
            }
            if !operation.makesStore, try DataDirectory.sharedStore(arguments, console) == nil {
                try Store.requireNoCache(directory)
                try DataDirectory.requireStore(in: directory)
            }
            do {
                if let alone { return try performHere(alone) }
                let store = try DataDirectory.openStore(arguments, console, onlyReads: operation.onlyReads)
                defer { store.close() }
                return try performHere { try OperationRunner(store: store, uid: geteuid()).run(operation, $0) }
            } catch StoreOpenError.locked(let directory) {
                // Another command has the store, or a server is starting or stopping.
                guard MonotonicClock.now() < deadline else { throw StoreOpenError.locked(directory) }
                usleep(OperatorClient.pauseMicroseconds)
            } catch {
                throw OperatorClient.withCause(error, directory)
            }
        }
    }

    /// The error of a store that could not be opened. One that is there was only to be opened, not created.
    private static func withCause(_ error: any Error, _ directory: String) -> any Error {
        guard case StoreOpenError.cannotCreate(let disk) = error, !disk.isFull,
            (try? Store.exists(in: directory)) == true
        else { return error }
        return disk.failure(creating: false)
    }

    /// Performs something in this process, whether a server runs or not.
    func performHere(_ body: (any OperationChannel) throws -> ExitCode) throws -> ExitCode {
        let code = try body(OwnChannel(client: self))
        try console.output.flush()
        return code
    }

    /// Opens the store for a server. If a command has it, wait, because commands end soon. If another server has it,
    /// fail.
    static func waitingForOthers(_ directory: String, _ open: () throws -> Store) throws -> Store {
        let socket = OperatorSocket(of: directory)
        let deadline = MonotonicClock.now() + patienceMilliseconds
        while true {
            do { return try open() } catch StoreOpenError.locked(let directory) {
                let isServed = (try? socket.connect()) != nil
                guard !isServed, MonotonicClock.now() < deadline else { throw StoreOpenError.locked(directory) }
                usleep(pauseMicroseconds)
            }
        }
    }

    // MARK: In the server

    /// - Returns: nil if the server ended before the request was sent.
    private func ask(_ operation: Operation, _ frames: FrameStream, _ directory: String) throws -> ExitCode? {
        // The kernel accepts connections for a server that is stopped or hangs. A live one greets at once.
        frames.stream.limitReading(toMilliseconds: Int(OperatorClient.patienceMilliseconds))
        let first: (kind: OperatorFrame.Kind, body: [UInt8])
        do { first = try next(frames, directory) } catch OperatorStreamError.ended { return nil }
        guard first.kind == .greeting else { return try end(first) }
        let greeting = try WireJSON.decode(OperatorFrame.Greeting.self, from: first.body)
        guard greeting.version == OperatorFrame.version else { throw OperatorClient.otherVersion }
        // Nothing can be undone that is done to the wrong store. An earlier natterd does not say which it has.
        if let given = DataDirectory.namedStore(arguments, console), greeting.store != given {
            guard greeting.store != nil else { throw OperatorClient.otherVersion }
            throw CommandFailure(
                .usage, code: "usage",
                "the server on '\(directory)' has another store; leave out --store and NATTERD_STORE, or name another directory with --data"
            )
        }
        // Other operations may take any time. A monitoring program must learn that a server hangs.
        if operation != .status { frames.stream.limitReading(toMilliseconds: 0) }
        do {
            try send(operation, frames)
        } catch let error as DiskError where error.code == .brokenPipe || error.code == .connectionReset {
            // The server stopped reading and may have sent the reason.
        }
        return try receive(frames, directory)
    }

    /// The next frame, if it comes before the time limit of the stream.
    private func next(_ frames: FrameStream, _ directory: String) throws -> (kind: OperatorFrame.Kind, body: [UInt8]) {
        do { return try frames.next() } catch let error as DiskError where error.code == .tryAgain {
            throw CommandFailure(
                .temporary, code: "locked",
                "the server on '\(directory)' does not answer; look into its log, and restart it if it hangs")
        }
    }

    private func send(_ operation: Operation, _ frames: FrameStream) throws {
        try frames.write(.request, json: operation)
        guard let input else { return }
        var buffer = [UInt8](repeating: 0, count: OperatorFrame.chunkBytes)
        while true {
            let count = try buffer.withUnsafeMutableBytes { try input.read(into: $0) }
            // The server asks no questions, so any frame that arrives now says how the operation ended.
            if frames.stream.hasInput { return }
            if count == 0 { return try frames.write(.endOfData, []) }
            try frames.write(.data, buffer[..<count])
        }
    }

    private func receive(_ frames: FrameStream, _ directory: String) throws -> ExitCode {
        while true {
            let frame: (kind: OperatorFrame.Kind, body: [UInt8])
            do { frame = try next(frames, directory) } catch OperatorStreamError.ended {
                throw CommandFailure(
                    .unavailable, code: "outcome_unknown",
                    "the server ended before it answered; check whether it was done, and repeat the command if not")
            }
            switch frame.kind {
            case .reply: try present(try WireJSON.decode(OperationReply.self, from: frame.body))
            case .data: try write(frame.body)
            default: return try end(frame)
            }
        }
    }

    private func end(_ frame: (kind: OperatorFrame.Kind, body: [UInt8])) throws -> ExitCode {
        guard frame.kind == .exit else { throw OperatorClient.otherVersion }
        let exit = try WireJSON.decode(OperatorFrame.Exit.self, from: frame.body)
        // Print the results before the error.
        try console.output.flush()
        if let message = exit.message {
            throw CommandFailure(
                ExitCode(rawValue: exit.status), code: exit.code ?? "failed", message.phrase)
        }
        return ExitCode(rawValue: exit.status)
    }

    private func write(_ bytes: [UInt8]) throws {
        let output = destination() ?? console.output
        guard printsJSON, output.isTerminal else { return try output.write(bytes) }
        try output.append { TerminalText.append(escaping: bytes, .json, to: &$0) }
    }

    static var otherVersion: CommandFailure {
        CommandFailure(
            .badProtocol, code: "other_version", "the running server is of another version; restart it")
    }

    // MARK: In this process

    private struct OwnChannel: OperationChannel {
        let client: OperatorClient

        func reply(_ reply: OperationReply) throws {
            try client.present(client.arguments.flag("json") ? reply : reply.withoutRemains)
        }
        func data(_ bytes: [UInt8]) throws { try client.write(bytes) }
        func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
            try client.input?.read(into: buffer) ?? 0
        }
    }
}

extension OperandSpec {
    /// A conversation, as the commands of natterd name it.
    static let conversation = required(
        "CONV", "'general', a group, or '@alice,@bob' for what two users wrote to each other")
}

extension Arguments {
    /// The operand CONV.
    var conversation: String { Normalization.formC(required("CONV")) }
}
