internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterModel

/// Goes on printing what comes, until it is interrupted: a sync that waits, then what is new, and so on. Servers may
/// come and go meanwhile.
struct LogFollow {
    private static let waitSeconds = 25
    private static let shortestPauseMilliseconds = 250
    private static let longestPauseMilliseconds = 30_000

    let context: Context
    let request: LogRequest
    let mirror: Mirror

    /// Returns only once as many messages are printed as were asked for, or nobody reads them any more.
    func run(_ walk: inout LogWalk, places: inout LogPlaces?) throws {
        var pause = LogFollow.shortestPauseMilliseconds
        var isLost = false
        while try left(walk) > 0 {
            var isCurrent = false
            do {
                let report = try mirror.pull(waitSeconds: LogFollow.waitSeconds)
                (pause, isLost) = (LogFollow.shortestPauseMilliseconds, false)
                for gone in report.gone { mirror.tell(gone: gone.name, reason: gone.reason) }
                try check(report)
                isCurrent = report.isComplete
            } catch  where Mirror.isTransient(error) {
                if !isLost { context.note("\(Mirror.reason(of: error)); trying again until it works") }
                isLost = true
                // Not all at once, when a server comes back to many.
                usleep(UInt32(Int.random(in: pause / 2...pause)) * 1_000)
                pause = min(pause * 2, LogFollow.longestPauseMilliseconds)
            }
            try printNews(&walk, places: &places, isCurrent: isCurrent)
            if isOutputClosed { throw OutputError.closedPipe }
        }
    }

    private func left(_ walk: LogWalk) throws -> Int {
        guard case .oldest(let count) = request.selection else { return .max }
        return max(0, count - walk.printed)
    }

    private func printNews(_ walk: inout LogWalk, places: inout LogPlaces?, isCurrent: Bool) throws {
        var conversations: [ReplicaConversation] = []
        switch request.scope {
        case .conversation(let name):
            if let found = try walk.replica.conversation(named: name) { conversations = [found] }
        case .all: conversations = try walk.replica.conversations()
        }
        // What one belongs to again, or what the replica was behind with at the start, may have a place in the file.
        let unplaced = conversations.filter { walk.positions[$0.id] == nil }
        if let places, !unplaced.isEmpty {
            let found = Set(try places.place(&walk, unplaced, of: walk.replica, isCurrent: isCurrent).map(\.id))
            conversations.removeAll { walk.positions[$0.id] == nil && !found.contains($0.id) }
        }
        conversations.removeAll { $0.head <= walk.positions[$0.id] ?? .zero }
        guard !conversations.isEmpty else { return }
        try walk.forward(conversations, limit: try left(walk))
        try context.console.output.flush()
        try places?.save(walk, conversations, of: walk.replica)
    }

    /// A history that was replaced can't be gone on with: numbers mean other messages now.
    private func check(_ report: SyncReport) throws {
        for diverged in report.diverged {
            throw CommandFailure(
                .invalidData, code: "cursor_expired",
                "the server was put back, and '\(diverged.name)' went on differently; what was here lies in "
                    + "'\(diverged.directory)'. Run log again")
        }
    }

    private var isOutputClosed: Bool {
        var request = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
        return poll(&request, 1, 0) == 1 && request.revents & Int16(POLLERR) != 0
    }
}
