internal import Glibc
internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// One conversation on a terminal.
final class Chat: LineEditorOwner {
    /// How many messages it begins with.
    private static let firstCount = 20
    /// It shows all that is unread or new, but no more than this at once.
    private static let newsLimit = 1_000
    /// How far it looks for the user's last message.
    private static let recallReach = 200

    private let context: Context
    /// The conversation's present name. A group may get another name while the window is open.
    private var conversation: String
    /// nil until the replica knows the conversation.
    private var id: ConversationID?
    private let synced: SyncedReplica
    private let feed: ChatFeed
    private var walk: LogWalk
    private let diverged: DivergedHistories
    private var editor: LineEditor?
    /// Unread messages of other conversations.
    private var unread: UInt64 = 0
    private var isOffline: Bool
    /// Unread messages were not shown.
    private var marksNothing = false
    /// The message that is being edited, and its text before.
    private var edited: (seq: Seq, text: String)?
    /// The error that ends the chat although the user goes on typing.
    private var failure: (any Error)?

    init(_ context: Context, conversation: String) throws {
        self.context = context
        synced = try SyncedReplica(context)
        let state = try synced.refresh(.quickly)
        isOffline = !state.isReached
        diverged = try DivergedHistories(synced.location)
        let replica = try synced.replica(after: state)
        let known = try synced.conversation(named: conversation, in: replica, state)
        (self.conversation, id) = (known?.name ?? conversation, known?.id)
        var printer = MessagePrinter(context, showsConversation: false)
        printer.reader = synced.location.user
        printer.showsChanges = true
        walk = LogWalk(
            replica, printer: printer, filter: MessageFilter(), mode: .history, keepsPlace: false,
            note: { context.console.note($0) })
        feed = ChatFeed(
            Chat.options(context.arguments), try context.tokenVariables(), isReached: state.isReached)
    }

    /// The options that say where and who, and how much to say.
    private static func options(_ arguments: Arguments) -> [String] {
        ["home", "server", "profile", "ca-file", "timeout", "lang"].flatMap { name in
            arguments.value(name).map { ["--" + name, $0] } ?? []
        } + ["insecure", "quiet"].filter(arguments.flag).map { "--" + $0 }
    }

    /// The conversation of this window in the replica.
    private func current() throws -> ReplicaConversation? {
        let found = try id.map { try walk.replica.conversation($0) } ?? walk.replica.conversation(named: conversation)
        if let found { (conversation, id) = (found.name, found.id) }
        return found
    }

    func run() throws -> ExitCode {
        if let found = try current() {
            if let reason = found.goneReason { synced.notes.tell(gone: found.name, reason: reason) }
            try begin(with: found)
            try walk.forward([found])
        }
        try context.console.output.flush()
        walk.mode = .news
        try countUnread()
        guard try HiddenTerminal.restoring(STDIN_FILENO, converse) == true else {
            throw CommandFailure(.inputOutput, code: "no_terminal", "this terminal can't be used for editing a line")
        }
        // It was told when it came.
        if let failure { return CommandFailure(failure).exitCode }
        markRead()
        return .success
    }

    /// Sets the position before the newest messages, all that are unread among them. The chat marks only shown ones as read.
    private func begin(with found: ReplicaConversation) throws {
        try walk.placeBeforeNewest(Chat.firstCount, [found])
        guard found.unread > 0, let place = walk.positions[found.id] else { return }
        if found.read < place {
            walk.place(found.id, at: found.read)
            try skipTooMany(of: found)
        }
        if try MarkCommand.tellMissing(of: found, walk.replica, context) { marksNothing = true }
    }

    /// Sets the position before the newest messages if those behind it are too many for a window. Then nothing is marked.
    private func skipTooMany(of found: ReplicaConversation) throws {
        let position = max(walk.positions[found.id] ?? .zero, found.serverFirst.previous)
        // A sync that was cut short has fetched a part of them.
        let last = max(found.head, found.serverHead)
        guard last.distance(after: position) > Chat.newsLimit else { return }
        try walk.placeBeforeNewest(Chat.firstCount, [found])
        // The next sync may bring the rest of them.
        guard !marksNothing else { return }
        marksNothing = true
        let name = Delivery.quoted(found.name)
        context.console.note(
            "there are too many new messages for this window, so none is marked as read; 'natter log --unread \(name)' "
                + "prints them, 'natter mark \(name)' marks them")
    }

    /// - Returns: false if there can be no editor.
    private func converse() throws -> Bool {
        guard let editor = LineEditor(self) else { return false }
        self.editor = editor
        defer { self.editor = nil }
        if !context.isOffline { try feed.start() }
        defer { feed.stop() }
        context.note("'/help' tells the keys and commands; '/quit' or Ctrl-D leaves")
        while let line = editor.next() {
            if edited == nil, line.hasPrefix("/"), !line.hasPrefix("//") {
                guard try obey(line, editor) else { return true }
            } else {
                submit(line, editor)
            }
            if failure != nil { return true }
        }
        // The cursor is behind the prompt.
        try context.console.output.writeLine("")
        try context.console.output.flush()
        return true
    }

    // MARK: The line

    var prompt: String {
        var words: [String] = []
        if isOffline { words.append(("offline" as Phrase).text) }
        if unread > 0 { words.append(Phrase.plural(unread, "\(unread) unread", "\(unread) unread").text) }
        let state = words.isEmpty ? "" : "[\(words.joined(separator: ", "))] "
        let name = TerminalText.escaped(conversation)
        return edited.map { "\(state)\(name) \(("edit \($0.seq)" as Phrase).text)> " } ?? "\(state)\(name)> "
    }

    func completions(of word: String) -> [String] {
        let isAddressed = word.hasPrefix("@")
        let start = isAddressed ? String(word.dropFirst()) : word
        guard !start.isEmpty || isAddressed,
            let names = try? CompletionNames.find(.users, from: start, context.arguments, context.console)
        else { return [] }
        return names.map { isAddressed ? "@" + $0 : $0 }
    }

    func recall() -> String? {
        if let waiting = try? context.lastWaiting(in: conversation, id) {
            editor?.above {
                context.console.note(
                    "what you wrote last waits in the outbox; 'natter outbox drop \(waiting.number)' drops it")
            }
            return nil
        }
        guard let found = try? current() else { return nil }
        var seq = found.head
        for _ in 0..<Chat.recallReach where seq >= found.first && seq > .zero {
            if let message = try? walk.replica.message(seq, in: found, folds: true),
                message.sender == synced.location.user,
                message.kind == .text, !message.isDeleted, !message.isErased, !message.isImported
            {
                edited = (seq, message.text)
                return message.text
            }
            seq = seq.previous
        }
        return nil
    }

    func forget() -> Bool {
        defer { edited = nil }
        return edited != nil
    }

    /// Obeys a line that begins with '/'. Of another program's command nothing is sent, because it may have a password.
    ///
    /// - Returns: false to leave.
    private func obey(_ line: String, _ editor: LineEditor) throws -> Bool {
        let word = line.prefix { !$0.isWhitespace }
        switch word {
        case "/quit": editor.clearLast(line)
        case "/help":
            editor.clearLast(line)
            let lines: [Phrase] = [
                "Enter sends the text. Alt-Enter, or Esc and then Enter, begins a new line. Pasted lines become one text.",
                "Tab completes names. Up lets you edit your last message, and Down leaves it as it is.",
                "/quit or Ctrl-D leaves. A text that begins with '/' needs a second '/' or a space before it.",
            ]
            for line in lines { try context.console.output.writeLine(line.text) }
            try context.console.output.flush()
        default:
            context.console.note("'\(word)' is no command here, and nothing was sent; '/help' tells more")
            // A pasted text is too much to lose.
            if line.contains("\n") { _ = editor.prefill(line) }
        }
        return word != "/quit"
    }

    private func submit(_ typed: String, _ editor: LineEditor) {
        let edited = edited
        self.edited = nil
        let isEscaped = edited == nil && (typed.hasPrefix("//") || typed.hasPrefix(" /"))
        var line = isEscaped ? String(typed.dropFirst()) : typed
        while line.last?.isNewline == true { line.removeLast() }
        if line.allSatisfy(\.isWhitespace) || edited.map({ line.utf8.elementsEqual($0.text.utf8) }) ?? false {
            return editor.clearLast(typed)
        }
        let request = SendRequest(
            conversation: conversation, conversationID: NameRule.isGroup(conversation) ? id : nil, text: line,
            id: MessageID.make(at: context.now),
            kind: edited == nil ? nil : MessageKind.edit.name, about: edited?.seq.rawValue)
        do {
            try TextError.check(line)
            let sending = QueuedSend(
                outbox: try context.outbox(of: try context.login()), api: context.isOffline ? nil : try synced.api(),
                context: context)
            switch try context.namingOnEnd(request, { try sending.send(request) }) {
            case .sent:
                editor.clearLast(typed)
                feed.hurry()
                markRead()
            case .queued(let entry, let reason):
                context.console.note("queued as message \(entry.number) of the outbox: \(reason)")
            }
        } catch {
            if let failure { return keep(request, after: error, of: failure) }
            context.console.note(CommandFailure(error).message)
            if editor.prefill(typed) { self.edited = edited }
        }
    }

    /// Queues the line with which the chat ends, because nobody can send it again, or says that it was not sent.
    private func keep(_ request: SendRequest, after error: any Error, of failure: any Error) {
        let (reason, told) = (CommandFailure(error).message, CommandFailure(failure).message)
        let isRefused =
            switch error {
            // If the session has ended, the outbox waits for the next login.
            case RequestError.refused(let refusal): refusal.status != 401
            default: error is TextError
            }
        guard !isRefused, let outbox = try? context.outbox(of: try context.login()),
            let entry = try? outbox.add([NamedGroups(context).identified(request)], at: context.now).first?.entry
        else { return context.console.note("the line was not sent: \(reason)") }
        context.console.note(
            reason.text == told.text
                ? "queued as message \(entry.number) of the outbox"
                : "queued as message \(entry.number) of the outbox: \(reason)")
    }

    // MARK: News

    var attention: (descriptor: Int32, milliseconds: Int32) { feed.attention }

    func attend() {
        let before = prompt
        do {
            let news = try feed.attend()
            if !feed.notes.isEmpty { editor?.above { feed.notes.forEach { synced.notes.tell(Phrase(verbatim: $0)) } } }
            switch news {
            case .synced:
                isOffline = false
                try printNews(below: before)
            case .lost(let reason):
                if !isOffline {
                    isOffline = true
                    editor?.above { context.console.note("\(reason); retrying") }
                }
                // A sync whose outbox is refused has fetched what is new all the same.
                try printNews(below: before)
            case .failed(let code, let reason):
                end(CommandFailure(code, code: "sync_failed", "\(reason)"))
            case nil: break
            }
        } catch {
            end(error)
        }
    }

    /// Ends the chat when the user has finished the line.
    private func end(_ error: any Error) {
        failure = error
        editor?.above { context.console.note(CommandFailure(error).message) }
    }

    /// - Parameter before: the prompt that is on the screen.
    private func printNews(below before: String) throws {
        if let replica = try synced.currentReplica() { walk.replica = replica }
        let known = try current()
        try countUnread()
        if let known, let reason = known.goneReason {
            editor?.above { synced.notes.tell(gone: known.name, reason: reason) }
        }
        try diverged.check(walk)
        guard let found = known, found.head > walk.positions[found.id] ?? .zero else {
            if prompt != before { editor?.redraw() }
            return
        }
        try editor?.above {
            // The replica may have got to know the conversation just now.
            if walk.positions[found.id] == nil { try begin(with: found) } else { try skipTooMany(of: found) }
            try walk.forward([found])
            try context.console.output.flush()
        }
    }

    private func countUnread() throws {
        unread = try walk.replica.conversations().reduce(0) { $0 &+ ($1.id == id ? 0 : $1.unread) }
    }

    /// Tells the server what was shown. A failure costs nothing but the mark.
    private func markRead() {
        guard !isOffline, !marksNothing, let found = try? current(), var seq = walk.shown[found.id] else { return }
        // A message that could not be read was not shown.
        if let missing = walk.firstMissing(behind: found.read, of: found) { seq = min(seq, missing.previous) }
        guard seq > found.read else { return }
        _ = try? synced.api().markRead(found.name, id: found.groupID, upTo: seq)
    }
}
