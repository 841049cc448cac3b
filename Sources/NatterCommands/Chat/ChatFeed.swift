internal import Glibc
internal import NatterCommandLine
internal import NatterClient
internal import NatterSystem

/// Keeps the replica current while `chat` waits for keys: `natter sync --wait` in a process of its own, again and again.
///
/// So `chat` needs no second thread, and a kill at any moment costs no more than with two commands.
final class ChatFeed {
    /// A change that the chat must show.
    enum News {
        /// The replica may have new messages.
        case synced
        /// The server was not reached, with the error line.
        case lost(String)
        /// Trying again would not help.
        case failed(ExitCode, String)
    }

    private let options: [String]
    private let variables: [(name: String, value: String?)]
    /// Whether the server was reached at last. If not, the next sync tells at once that it is, instead of waiting for news.
    private var isReached: Bool
    private var process: pid_t = 0
    private var descriptor: Int32 = -1
    private var errors: [UInt8] = []
    /// The notes of the sync that has just ended, without its error.
    private(set) var notes: [String] = []
    private var backoff = Backoff.following
    /// When the next try is due after a failure; nil if a sync is running.
    private var retry: Int64?

    /// Whether a sync has succeeded, so that the server speaks as it should.
    private var isKnown: Bool

    /// - Parameters:
    ///   - options: how the command was told which server and account to use.
    ///   - variables: for the environment: which token to use.
    ///   - isReached: whether the server was reached a moment ago.
    init(_ options: [String], _ variables: [(name: String, value: String?)], isReached: Bool) {
        (self.options, self.variables) = (options, variables)
        (self.isReached, isKnown) = (isReached, isReached)
    }

    /// For `poll`. While the feed pauses, only the time counts.
    var attention: (descriptor: Int32, milliseconds: Int32) {
        retry.map { (-1, Int32(clamping: max(0, $0 - MonotonicClock.now()))) } ?? (descriptor, -1)
    }

    func start() throws {
        retry = nil
        errors = []
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw DiskError(operation: "create", path: "a pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[1]) }
        descriptor = ends[0]
        let seconds = isReached ? ReplicaFollower.waitSeconds : 0
        let words = ["/proc/self/exe", "sync", "--wait", String(seconds)] + options
        // A signal that ends the chat comes before this or finds the process.
        try blockingSignals {
            process = try Spawn.start(
                words, [(STDIN_FILENO, nil), (STDOUT_FILENO, nil), (STDERR_FILENO, ends[1])], environment: variables,
                unblocksSignals: true)
            HiddenTerminal.setHelper(process)
        }
    }

    /// Call when `attention` says so.
    ///
    /// - Returns: nil if nothing has changed.
    func attend() throws -> News? {
        notes = []
        if retry != nil {
            try start()
            return nil
        }
        var chunk = [UInt8](repeating: 0, count: 4_096)
        let count = retrying { read(descriptor, &chunk, chunk.count) }
        if count > 0 {
            // A hostile server can't make them long. The last line may be the error.
            errors = (errors + chunk.prefix(count)).suffix(8_192)
            return nil
        }
        let (code, signal) = reap()
        notes = lines
        if let signal { return lose(("the sync was ended by signal \(signal)" as Phrase).text) }
        switch code {
        case .success, .nothingFound:
            backoff = .following
            (isReached, isKnown) = (true, true)
            try start()
            return .synced
        case .unavailable, .temporary, .inputOutput: return lose(notes.popLast() ?? "")
        // Something else answers in the server's place for a while, such as a network's login page.
        case .badProtocol where isKnown: return lose(notes.popLast() ?? "")
        default: return .failed(code, notes.popLast() ?? "")
        }
    }

    private func lose(_ reason: String) -> News {
        isReached = false
        retry = MonotonicClock.now() + backoff.next()
        return .lost(reason)
    }

    /// Ends a pause, because the server has answered somebody else.
    func hurry() {
        backoff = .following
        if retry != nil { retry = MonotonicClock.now() }
    }

    func stop() {
        guard process > 0 else { return }
        // A replica is whole whenever a sync is killed, and nothing may delay the end of the chat.
        kill(process, SIGKILL)
        _ = reap()
    }

    /// - Returns: how the sync ended; if a signal ended it, which is no reason to give up, also that.
    private func reap() -> (code: ExitCode, signal: Int32?) {
        close(descriptor)
        descriptor = -1
        HiddenTerminal.setHelper(0)
        let status = Spawn.wait(for: process)
        process = 0
        let signal = status & 0x7F
        return (ExitCode(rawValue: (status >> 8) & 0xFF), signal == 0 ? nil : signal)
    }

    private var lines: [String] {
        errors.split(separator: UInt8(ascii: "\n")).map { bytes in
            let line = String(decoding: bytes, as: UTF8.self)
            return line.hasPrefix("natter: ") ? String(line.dropFirst(8)) : line
        }
    }
}
