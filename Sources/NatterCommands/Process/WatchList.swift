internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel

/// `watch ls`, `watch drop NAME`, `watch --failed`.
struct WatchList {
    private struct WatchObject: Encodable {
        var name: String
        var conversations: [String]
        var started: String
        var failed: Int
    }

    private let context: Context
    private let synced: SyncedReplica
    private let directory: String

    init(_ context: Context) throws {
        self.context = context
        synced = try SyncedReplica(context, needsServer: false)
        directory = WatchPlace.directory(of: synced.location)
    }

    func run() throws -> ExitCode {
        let arguments = context.arguments
        let words = arguments.operands("CONV")
        let isFailed = arguments.flag("failed")
        // Options that choose messages or name a watch would be ignored here.
        for option in ["from", "personal", "own", "events", "mentions", "tries"] + (isFailed ? [] : ["name"])
        where arguments.has(option) {
            throw arguments.error("--\(option) needs --exec CMD")
        }
        if isFailed {
            try printFailed(words)
            return .success
        }
        switch words.first {
        case "ls" where words.count == 1, "list" where words.count == 1: try list()
        case "drop" where words.count == 2, "rm" where words.count == 2, "remove" where words.count == 2:
            try drop(words[1])
        case "drop", "rm", "remove":
            guard words.count > 2 else {
                throw arguments.error("'watch drop' needs NAME; 'natter watch ls' lists them")
            }
            throw arguments.error("'\("watch drop")' takes at most \("NAME"); '\(words[2])' is one too many")
        case "ls", "list": throw arguments.error("'\("watch ls")' takes no operands; '\(words[1])' is one too many")
        default: throw arguments.error("'watch' needs --exec CMD")
        }
        return .success
    }

    private func printFailed(_ words: [String]) throws {
        let name = context.arguments.value("name")
        let replica = try synced.replica()
        let conversations = try words.map { word in
            try replica?.conversation(named: word).map { NamedConversation($0) } ?? NamedConversation(name: word)
        }
        let wanted = WatchPlace(directory, name: name, words: words, conversations: conversations)
        var places = try wanted.exists() ? [wanted] : []
        // A user who names no watch, and has none of all conversations, means every watch.
        if places.isEmpty, words.isEmpty, name == nil { places = try WatchPlace.all(in: directory).map(\.place) }
        guard !places.isEmpty else {
            if let name { throw noSuchWatch(name) }
            throw CommandFailure(
                .notFound, code: "no_such_watch",
                words.isEmpty
                    ? "there is no watch of all conversations; 'natter watch ls' lists them"
                    : "there is no watch of '\(words.joined(separator: " "))'; 'natter watch ls' lists them")
        }
        var printer = MessagePrinter(context, showsConversation: true, hasDayLines: false)
        (printer.reader, printer.showsChanges) = (synced.location.user, true)
        let known = Dictionary(
            try replica?.conversations(includingGone: true).map { ($0.id.high, $0) } ?? [],
            uniquingKeysWith: { first, _ in first })
        var rest = try places.flatMap { try $0.failed() }[...]
        while let first = rest.first {
            // Together, because each block takes time to open.
            let cursors = rest.prefix { $0.conversationPrefix == first.conversationPrefix }
            rest = rest[cursors.endIndex...]
            let wanted = Set(cursors)
            var missing = wanted
            if let replica, let conversation = known[first.conversationPrefix], conversation.first <= conversation.head
            {
                let kept = conversation.first...conversation.head
                try replica.visit(cursors.map(\.seq).filter(kept.contains), of: conversation) { piece in
                    switch piece {
                    case .messages(let run):
                        for message in try replica.changed(run, folds: true) ?? run.messages()
                        where wanted.contains(message.cursor) {
                            missing.remove(message.cursor)
                            try printer.write(message)
                        }
                    case .missing(_, let seqs, .damaged(let detail, let block)):
                        throw ReplicaError.storage(.missing(seqs, .damaged(detail, block: block)))
                    case .missing: break
                    }
                }
            }
            for cursor in cursors where missing.contains(cursor) {
                context.note("message \(cursor.seq), which has failed, is not here any more")
            }
        }
    }

    private func noSuchWatch(_ name: String) -> CommandFailure {
        CommandFailure(.notFound, code: "no_such_watch", "there is no watch '\(name)'; 'natter watch ls' lists them")
    }

    private func list() throws {
        let replica = try synced.replica()
        let watches = try WatchPlace.all(in: directory).map { place, start in
            let names = try start.conversations.map { conversation in
                try conversation.id.flatMap { try replica?.conversation($0)?.name } ?? conversation.name
            }
            return WatchObject(
                name: place.title, conversations: names, started: start.time.rfc3339,
                failed: try place.failed().count)
        }
        .sorted { $0.name < $1.name }
        let isTerminal = context.console.output.isTerminal
        try context.list(
            watches,
            [
                Column("NAME") { isTerminal ? $0.name : WatchList.word($0.name) },
                Column("STARTED") { context.age($0.started) },
                Column("FAILED", .right) { "\($0.failed)" },
                Column("CONVERSATIONS") { $0.conversations.joined(separator: " ") },
            ])
    }

    /// A name as one word, because a script splits the line at its blanks.
    private static func word(_ name: String) -> String { String(name.map { $0.isWhitespace ? "_" : $0 }) }

    private func drop(_ name: String) throws {
        let places = try WatchPlace.all(in: directory).map(\.place)
        let named = places.first { $0.title == name } ?? places.first { WatchList.word($0.title) == name }
        guard let place = named else { throw noSuchWatch(name) }
        try place.drop()
        context.confirm("forgot the watch '\(name)'")
    }
}
