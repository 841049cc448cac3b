internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

extension Context {
    /// The maximum time that any other command spends on the outbox.
    static let deliveryMilliseconds = 2_000

    /// The outbox of a session. Nothing is opened yet.
    func outbox(of login: Login) throws -> Outbox {
        if tokenFile != nil { return Outbox(try home().outbox(of: login.token)) }
        return try outbox(of: login.account)
    }

    /// The outbox without the server, and without the token if it is not needed.
    func outbox() throws -> Outbox {
        if tokenFile != nil { return try outbox(of: try login()) }
        return try outbox(of: try offlineAccount())
    }

    /// The outbox of a profile's account.
    func outbox(of account: Account) throws -> Outbox {
        guard let name = account.name, let store = account.store else {
            throw ProfileError.notLoggedIn(profile: Profile.defaultName)
        }
        return Outbox(try home().outbox(store: store, user: name))
    }

    /// Tells of messages that were queued with another token than that of `--token-file`. They may be another account's, so
    /// only that token sends them.
    func tellOutboxesOfOtherTokens() {
        guard tokenFile != nil, let token = try? login().token else { return }
        for location in (try? home().outboxes(ofOthersThan: token)) ?? [] {
            // One that can't be read is none of this token's.
            guard let count = try? Outbox(location).counts().waiting, count > 0 else { continue }
            note(
                .plural(
                    count, "\(count) message that was queued with another token waits in '\(location.directory)'",
                    "\(count) messages that were queued with another token wait in '\(location.directory)'"))
        }
    }

    /// Sends the outbox before a command does its own work. The command never fails because of it.
    ///
    /// - Returns: the server's error if not everything was sent.
    @discardableResult
    func deliverOutbox(of login: Login, to api: ServerAPI) -> RequestError? {
        do {
            let report = try OutboxDelivery(try outbox(of: login), api: api).run(
                timeoutMilliseconds: Context.deliveryMilliseconds, deadlineMilliseconds: Context.deliveryMilliseconds)
            tell(report)
            return report.interruption
        } catch {
            tellUnsent(error)
            return nil
        }
    }

    /// Sends the whole outbox, and reports what happened to its messages.
    ///
    /// - Parameter lockMilliseconds: how long to wait for another command that sends it; nil for the timeout.
    func deliver(
        _ outbox: Outbox, to api: ServerAPI, lockMilliseconds: Int? = nil
    ) throws -> OutboxDelivery.Report {
        let timeout = try timeoutMilliseconds()
        let report = try OutboxDelivery(outbox, api: api).run(
            timeoutMilliseconds: timeout, lockMilliseconds: lockMilliseconds ?? timeout, onUpload: showUploads())
        tell(report)
        return report
    }

    /// Says that a command's message was kept.
    func tell(queued entry: OutboxEntry, _ reason: Phrase) throws {
        try writeJSON(OutboxObject(entry))
        note("queued as message \(entry.number) of the outbox: \(reason)")
    }

    /// Says where a message stands, and of a reply to what: of a word such as 'last', this tells what it meant.
    func confirm(sent message: MessageObject) {
        confirm(
            message.about.map { "sent to \(message.conversation) as number \(message.seq), a reply to \($0)" }
                ?? "sent to \(message.conversation) as number \(message.seq)")
    }

    /// The last change of a conversation that waits in the outbox. It is newer than any that was sent.
    func lastWaiting(in conversation: String, _ id: ConversationID?) throws -> OutboxEntry? {
        var last: OutboxEntry?
        try outbox(of: try login()).forEach(waitingOnly: true) { entry in
            let (named, place) = (entry.request.conversation, entry.request.conversationID)
            let isHere = place.map { $0 == id } ?? (NameRule.caseKey(named) == NameRule.caseKey(conversation))
            if isHere, !entry.isMark { last = entry }
            return true
        }
        return last
    }

    /// Explains why the outbox was not sent.
    func tellUnsent(_ error: any Error) {
        note("could not send the messages in the outbox: \(error)")
    }

    /// Explains the delay on a terminal.
    func tellTrying(_ error: RequestError) {
        if console.errors.isTerminal { note("retrying: \(error.reason)") }
    }

    /// Reports what happened to the messages in the outbox.
    func tell(_ report: OutboxDelivery.Report) {
        if report.sentCount > 0 {
            let count = report.sentCount
            confirm(
                .plural(count, "\(count) message sent from the outbox", "\(count) messages sent from the outbox"))
        }
        // If hundreds go to a group that is gone, one refusal says as much as all.
        let told = report.refused.count > 5 ? 3 : report.refused.count
        for (entry, refusal) in report.refused.prefix(told) {
            note(
                "message \(entry.number) of the outbox, to '\(entry.request.conversation)', was refused: "
                    + "\(refusal.phrase); it is parked, see 'natter outbox ls'")
        }
        let more = report.refused.count - told
        if more > 0 { note("\(more) more were refused and are parked; see 'natter outbox ls'") }
    }
}
