internal import NatterCommandLine
internal import NatterClient
internal import NatterProtocol

extension Context {
    /// The name of the account with the session. With a token file, it may have to ask the server.
    func ownName(_ api: ServerAPI) throws -> String { try login().account.name ?? api.whoami().name }

    /// A user name from the command line, with or without `@`.
    static func user(_ word: String) -> String { word.hasPrefix("@") ? String(word.dropFirst()) : word }

    /// Applies a change to each named user in order, up to the first error.
    ///
    /// - Throws: the error of `change`, after a note about the users before.
    func forEachUser(_ change: (String) throws -> Void) throws {
        let users = arguments.operands("USER").map { Context.user($0) }
        for (index, user) in users.enumerated() {
            do {
                try change(user)
            } catch  where index > 0 {
                let failure = CommandFailure(error)
                throw failure.saying("\(failure.message); the users before '\(user)' are done")
            }
        }
    }
}
