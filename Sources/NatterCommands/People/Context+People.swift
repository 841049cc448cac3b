internal import NatterCLI
internal import NatterClient
internal import NatterWire

extension Context {
    /// The name of whoever is logged in; of a token that was given as a file the server may have to be asked.
    func ownName(_ api: ServerAPI) throws -> String { try login().account.name ?? api.whoami().name }

    /// A user as somebody typed them: with `@` before the name, as in a conversation's, or without.
    static func user(_ word: String) -> String { word.hasPrefix("@") ? String(word.dropFirst()) : word }

    /// Does something to each of the users that were named, in their order, up to the first for whom it is refused.
    ///
    /// - Throws: what `change` throws, with a word about those before.
    func forEachUser(_ change: (String) throws -> Void) throws {
        let users = arguments.operands("USER").map { Context.user($0) }
        for (index, user) in users.enumerated() {
            do {
                try change(user)
            } catch  where index > 0 {
                let failure = Explanation.failure(error)
                throw CommandFailure(
                    failure.exitCode, code: failure.code, "\(failure.message); for those before '\(user)' it is done")
            }
        }
    }
}
