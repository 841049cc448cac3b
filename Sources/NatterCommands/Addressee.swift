internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// Keeps a message from going to everyone because its sender left out `-c`: `natter send @bob the password is …`.
struct Addressee {
    private let context: Context
    private let login: Context.Login
    private let api: ServerAPI?
    private let mayBeAway: Bool
    /// For how long after a sync the replica's list of groups is enough.
    private static let freshMilliseconds: Int64 = 60_000

    /// - Parameters:
    ///   - api: nil with `--offline`.
    ///   - mayBeAway: whether the message is kept if the server cannot be reached.
    init(_ context: Context, _ login: Context.Login, api: ServerAPI?, mayBeAway: Bool) {
        (self.context, self.login, self.api, self.mayBeAway) = (context, login, api, mayBeAway)
    }

    /// - Throws: 64 if the first word of a text is `@` and the name of a user, or the name of one of the sender's groups.
    func check(_ word: String) throws {
        let isPersonal = word.hasPrefix("@")
        let name = isPersonal ? String(word.dropFirst()) : word
        // Only what has a name's form costs a look-up. A text in quotes has blanks.
        guard (try? NameRule.checkForm(name)) != nil || (isPersonal && NameRule.isMe(name)) else { return }
        guard try isPersonal ? isUser(name) : isGroup(name) else { return }
        throw context.arguments.error(
            isPersonal
                ? "'\(word)' is a user; did you mean '-c \(word)'? After '--' it is text"
                : "'\(word)' is a group of yours; did you mean '-c \(word)'? After '--' it is text")
    }

    private func isUser(_ name: String) throws -> Bool {
        if NameRule.isMe(name) { return true }
        if let replica = try replica() {
            let key = NameRule.caseKey(name)
            let known = try replica.conversation(named: "@" + name) != nil
            if try known || replica.users()?.users.contains(where: { NameRule.caseKey($0.name) == key }) == true {
                return true
            }
        }
        return try isOnServer("@" + name)
    }

    private func isGroup(_ name: String) throws -> Bool {
        if NameRule.isGeneral(name) { return false }
        let location = try context.home().replica(of: login.account)
        if let known = location?.hasGroup(name) {
            // To ask the server for each first word would cost as much as the message.
            let fresh = location?.lastSync.map { $0...$0.advanced(milliseconds: Addressee.freshMilliseconds) }
            if known || fresh?.contains(context.now) == true { return known }
        } else if let replica = try replica() {
            let found = try replica.conversation(named: name)
            if let found, found.kind == .group, !found.isGone { return true }
        }
        // Somebody may have created or renamed it, or added the sender, since the last sync. The message itself meets the same
        // trouble, and knows what to do about it.
        return (try? isOnServer(name)) ?? false
    }

    private func replica() throws -> Replica? {
        try context.home().replica(of: login.account).flatMap { try Replica.open(at: $0) }
    }

    private func isOnServer(_ name: String) throws -> Bool {
        guard let api else { return try guess(name) }
        do throws(RequestError) {
            _ = try api.perform(API.conversation, name)
            return true
        } catch {
            // There is no such conversation, or the token may not know of it.
            if case .refused(let refusal) = error, [400, 403, 404, 422].contains(refusal.status) { return false }
            if mayBeAway, error.allowsQueueing { return try guess(name) }
            throw error
        }
    }

    /// Refuses a name that may be a user's, because the server can't be asked. A text for one user must not go to everyone.
    private func guess(_ name: String) throws -> Bool {
        guard name.hasPrefix("@") else { return false }
        throw context.arguments.error(
            "nobody can be asked now whether '\(name)' is a user; write '-c \(name)' for that user, or '--' before a text"
        )
    }
}
