internal import NatterConversation
internal import NatterCommandLine
internal import NatterModel
internal import NatterClient

/// The options of `log`.
struct LogRequest {
    enum Scope: Equatable {
        case conversation(String)
        case all
    }

    /// Which of the matching messages to print.
    enum Selection: Equatable {
        case all
        case newest(Int)
        case oldest(Int)
        case around(Seq, count: Int)
    }

    /// The default number of messages on a terminal.
    static let terminalCount = 20

    let scope: Scope
    var filter: MessageFilter
    let selection: Selection
    let isReversed: Bool
    let follows: Bool
    let cursorFile: String?
    /// Only unread messages of other users.
    let isUnread: Bool
    /// Whether to mark the printed messages as read.
    let marks: Bool
    let saysNothingNew: Bool
    let format: MessageFormat?
    /// Whether to print every record as it is.
    let isRaw: Bool
    let showsNumbers: Bool
    /// Only texts with the reader's name behind an '@'.
    let mentions: Bool
    let pattern: Pattern?
    /// The message whose thread to print.
    let thread: Seq?

    /// - Throws: `UsageError` for options that cannot be combined.
    init(_ context: Context) throws {
        let arguments = context.arguments
        isRaw = arguments.flag("raw")
        showsNumbers = arguments.flag("numbers")
        mentions = arguments.flag("mentions")
        pattern = try arguments.value("grep").map { try Pattern(regex: $0) }
        if arguments.flag("from-first"), !arguments.has("cursor-file") {
            throw arguments.error("--from-first needs --cursor-file")
        }
        var filter = MessageFilter()
        filter.since = try arguments.time("since", now: context.now)
        filter.until = try arguments.time("until", now: context.now)
        filter.senders = arguments.values("from")
        let limit = try arguments.integer("number", in: 0...Int64(Int32.max)).map { Int($0) }
        let cursorFile = arguments.value("cursor-file")
        if cursorFile?.isEmpty == true { throw arguments.error("--cursor-file needs the name of a file") }

        if arguments.flag("all") {
            if let name = arguments.operand("CONV") {
                throw arguments.error("--all means every conversation; leave it out to print '\(name)' alone")
            }
            for option in ["after", "before", "around"] where arguments.has(option) {
                throw arguments.error("--all and --\(option) cannot be combined: a number belongs to one conversation")
            }
            scope = .all
        } else {
            scope = .conversation(arguments.operand("CONV") ?? NameRule.general)
        }
        if ["all", "unread", "reverse", "number"].allSatisfy(arguments.has) {
            throw arguments.error(
                "--reverse cannot be combined with --all --unread, where -n takes the oldest messages")
        }
        let exclusive: [(String, [String])] = [
            ("reverse", ["follow", "cursor-file"]), ("follow", ["before", "until", "around", "offline"]),
            ("around", ["after", "before", "since", "until", "from", "grep", "mentions", "cursor-file"]),
            ("cursor-file", ["after"]),
            ("unread", ["after", "around", "cursor-file", "follow"]), ("mark", ["offline", "follow", "around"]),
            ("format", ["json", "numbers"]),
            (
                "thread",
                [
                    "all", "after", "before", "around", "since", "until", "from", "unread", "mark", "cursor-file",
                    "follow",
                    "raw", "mentions", "grep", "number",
                ]
            ),
        ]
        for (option, others) in exclusive where arguments.has(option) {
            for other in others where arguments.has(other) {
                throw arguments.error("--\(option) and --\(other) cannot be combined")
            }
        }
        let number = { [scope] (name: String, least: Int64) throws -> Seq? in
            guard let word = arguments.value(name), SeqWord.place(word) != nil,
                case .conversation(let conversation) = scope
            else { return try arguments.integer(name, in: least...Int64.max).map { Seq(UInt64($0)) } }
            return try context.seq(word, in: conversation)
        }
        thread = try number("thread", 1)
        let (after, around) = (try number("after", 0), try number("around", 0))
        (filter.after, filter.before) = (after ?? .zero, try number("before", 0))
        self.filter = filter
        isReversed = arguments.flag("reverse")
        follows = arguments.flag("follow")
        self.cursorFile = cursorFile
        isUnread = arguments.flag("unread")
        marks = arguments.flag("mark")
        saysNothingNew = arguments.flag("exit-code")
        do {
            format = try arguments.value("format").map { pattern throws(MessageFormat.Malformed) in
                try MessageFormat(pattern)
            }
        } catch {
            throw arguments.error("--format \(error.reason)")
        }
        if let around {
            guard around > .zero else {
                throw arguments.error("--around takes 1 or more: the first message has number 1")
            }
            selection = .around(around, count: limit ?? LogRequest.terminalCount)
        } else if cursorFile != nil || after != nil || isUnread {
            // If a position is given, messages are counted from there.
            selection = limit.map { .oldest($0) } ?? .all
        } else if let limit {
            selection = .newest(limit)
        } else {
            // A range of time is printed completely.
            let isSpan = filter.since != nil
            selection = context.console.output.isTerminal && !isSpan ? .newest(LogRequest.terminalCount) : .all
        }
    }

    /// True if nothing was left out, so that no output means that nothing is there.
    var isEverything: Bool {
        if case .conversation = scope, isUnfiltered, filter.after == .zero, filter.before == nil, !isUnread {
            return cursorFile == nil
        }
        return false
    }

    /// True if no output means that nothing is new.
    var isAllNews: Bool { isUnfiltered && (isUnread || cursorFile != nil) }

    private var isUnfiltered: Bool { filter.isPlain && !mentions && pattern == nil && thread == nil }

    /// Whether the messages are printed as new, so that edits and deletions of earlier ones have lines.
    var isNews: Bool { cursorFile != nil || isUnread }

    /// True if a page of the server's newest messages is enough.
    var isPage: Bool {
        guard case .newest = selection, case .conversation = scope, filter.since == nil, thread == nil,
            !mentions, pattern == nil, !isRaw, filter.senders.count <= 1
        else { return false }
        return true
    }

    /// True if that page is worth asking for at once. A sync has more than a page in less time and memory, and keeps it.
    var isShortPage: Bool {
        if case .newest(let count) = selection { isPage && count <= Limits.pageLimit } else { false }
    }
}
