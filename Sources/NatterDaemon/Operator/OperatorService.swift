internal import Glibc
internal import NatterCommandLine
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// The server's end of `DIR/natterd.sock`. One thread accepts, and each connected command has its own thread. They use
/// the store like requests of the HTTP API, so neither the listener's thread nor the writer's waits for a command.
final class OperatorService: Sendable {
    /// The maximum number of concurrent commands. Further ones are told to try again.
    private static let commandLimit = 32
    /// The timeout for a command to send its request.
    private static let requestMilliseconds = 10_000
    /// How long commands in flight may take to end after the server begins to stop, and again after they were told to.
    private static let stopMilliseconds = 5_000

    private struct State {
        var threads: [Int: SystemThread] = [:]
        var streams: [Int: LocalStream] = [:]
        /// Threads that have ended and must be joined.
        var ended: [SystemThread] = []
        var nextNumber = 0
        var isStopping = false
    }

    private let socket: OperatorSocket
    private let listener: LocalStream
    private let store: Store
    private let server: ChatServer
    private let uri: String
    private let service: @Sendable () -> ServiceStatus.Service
    private let problems: @Sendable () -> [ServiceStatus.Problem]
    private let hooks: HookService?
    private let events: EventSink
    private let state = Monitor(State())
    private let acceptor = Monitor<SystemThread?>(nil)

    /// Creates the socket and starts to answer on it. The process must have the store open.
    ///
    /// - Parameters:
    ///   - shared: where the store is; nil for files in the directory.
    ///   - address: the address where clients reach the server.
    ///   - problems: those that the store does not know.
    /// - Throws: `OperatorSocketError`, `DiskError`.
    init(
        _ directory: String, _ store: Store, in shared: SharedStore?, _ server: ChatServer, at address: String,
        clock: any WallClock, hooks: HookService?, problems: @escaping @Sendable () -> [ServiceStatus.Problem],
        events: @escaping EventSink
    ) throws {
        uri = shared?.uri ?? ""
        (self.store, self.server, self.hooks) = (store, server, hooks)
        (self.problems, self.events) = (problems, events)
        let since = clock.now().rfc3339
        service = {
            let (connections, waiting) = server.load
            return ServiceStatus.Service(
                pid: getpid(), since: since, address: address, connections: connections, waiting: waiting,
                registration: server.registration.rawValue, certificateExpires: server.certificateExpires?.rfc3339,
                limits: store.limits.map { LimitObject($0) }, retain: store.retention.description)
        }
        socket = OperatorSocket(of: directory)
        listener = try socket.listen()
        let thread = try SystemThread(name: "natter-operator") { [self] in accept() }
        acceptor.signal { $0 = thread }
    }

    /// Accepts no more commands, lets those in flight end, and removes the socket.
    func stop() {
        state.signal { $0.isStopping = true }
        listener.shutDown(Int(SHUT_RDWR))
        acceptor.exchange(nil)?.join()
        socket.remove()
        // A command that is still sending data can't finish, so stop reading. Other commands may finish, but a command
        // that does not read must not delay the stop forever.
        for stream in state.withLock({ Array($0.streams.values) }) { stream.shutDown(Int(SHUT_RD)) }
        if !haveEnded() {
            // Long work on log files ends after its next commit, and answers so.
            store.endErrands()
            _ = haveEnded()
        }
        for stream in state.withLock({ Array($0.streams.values) }) { stream.shutDown(Int(SHUT_RDWR)) }
        state.wait { $0.threads.isEmpty }
        joinEnded()
    }

    /// Waits for the commands in flight, but not for long.
    private func haveEnded() -> Bool {
        state.wait(timeoutMilliseconds: OperatorService.stopMilliseconds) { $0.threads.isEmpty }
    }

    private func joinEnded() {
        let ended = state.withLock { state in
            defer { state.ended = [] }
            return state.ended
        }
        for thread in ended { thread.join() }
    }

    // MARK: Threads

    private func accept() {
        while let stream = listener.accept() {
            joinEnded()
            let number = state.withLock { state -> Int? in
                guard !state.isStopping, state.streams.count < OperatorService.commandLimit else { return nil }
                state.nextNumber += 1
                state.streams[state.nextNumber] = stream
                return state.nextNumber
            }
            guard let number else {
                OperatorService.refuse(stream)
                continue
            }
            do throws(DiskError) {
                // The thread must not end before it is registered here.
                let isKnown = Monitor(false)
                let thread = try SystemThread(name: "natter-command") { [self] in
                    isKnown.wait { $0 }
                    serve(stream)
                    end(number)
                }
                state.withLock { $0.threads[number] = thread }
                isKnown.signal { $0 = true }
            } catch {
                state.withLock { $0.streams[number] = nil }
                OperatorService.refuse(stream)
            }
        }
    }

    private func end(_ number: Int) {
        state.signal { state in
            state.streams[number] = nil
            if let thread = state.threads.removeValue(forKey: number) { state.ended.append(thread) }
        }
    }

    private static func refuse(_ stream: LocalStream) {
        let exit = OperatorFrame.Exit(
            status: ExitCode.temporary.rawValue, code: "busy",
            message: "the server is busy with other commands; try again in a moment")
        try? FrameStream(stream).write(.exit, json: exit)
    }

    // MARK: One command

    private func serve(_ stream: LocalStream) {
        let frames = FrameStream(stream)
        do {
            let uid = try stream.peer(socket.path)
            guard uid == geteuid() || uid == 0 else {
                events(Event(.warning, "command_refused", [("uid", String(uid))]))
                return try frames.write(
                    .exit,
                    json: OperatorFrame.Exit(
                        status: ExitCode.refused.rawValue, code: "not_allowed",
                        message: "only the server's own user and root may use its socket"))
            }
            try frames.write(.greeting, json: OperatorFrame.Greeting(version: OperatorFrame.version, store: uri))
            stream.limitReading(toMilliseconds: OperatorService.requestMilliseconds)
            let request = try frames.next()
            stream.limitReading(toMilliseconds: 0)
            let exit = perform(request.kind, request.body, uid, frames)
            try frames.write(.exit, json: exit)
        } catch {
            // The command was killed or sent nothing, so nobody can receive an error.
            events(Event(.debug, "command_ended", [("reason", "\(error)")]))
        }
    }

    private func perform(
        _ kind: OperatorFrame.Kind, _ body: [UInt8], _ uid: UInt32, _ frames: FrameStream
    ) -> OperatorFrame.Exit {
        guard kind == .request, let operation = try? WireJSON.decode(Operation.self, from: body) else {
            return OperatorFrame.Exit(
                status: ExitCode.badProtocol.rawValue, code: "unknown_operation",
                message: "the running server is of another version; restart it")
        }
        events(Event(.info, "command", [("operation", operation.name), ("uid", String(uid))]))
        do {
            let runner = OperationRunner(
                store: store, uid: uid, service: service, problems: problems, server: server, hooks: hooks)
            let status = try runner.run(operation, ServiceChannel(frames))
            return OperatorFrame.Exit(status: status.rawValue)
        } catch {
            let failure = CommandFailure(error)
            return OperatorFrame.Exit(
                status: failure.exitCode.rawValue, code: failure.code, message: failure.message)
        }
    }
}

/// The channel to a command at the other end of a socket.
private final class ServiceChannel: OperationChannel {
    private let frames: FrameStream
    private var pending: ArraySlice<UInt8> = []
    private var isAtEnd = false

    init(_ frames: FrameStream) { self.frames = frames }

    func reply(_ reply: OperationReply) throws { try frames.write(.reply, json: reply) }

    func data(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            try frames.write(.data, rest.prefix(OperatorFrame.chunkBytes))
            rest = rest.dropFirst(OperatorFrame.chunkBytes)
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while pending.isEmpty, !isAtEnd {
            let (kind, body) = try frames.next()
            switch kind {
            case .data: pending = body[...]
            case .endOfData: isAtEnd = true
            default: throw OperatorStreamError.malformed("a frame that is no data")
            }
        }
        let count = min(buffer.count, pending.count)
        buffer.copyBytes(from: pending.prefix(count))
        pending = pending.dropFirst(count)
        return count
    }
}
