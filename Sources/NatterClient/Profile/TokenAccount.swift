internal import NatterModel
internal import NatterSystem

/// Whose a token is that was given as a file: kept under a part of the token's hash, since a replica belongs to a user.
public struct TokenAccount: Sendable {
    let directory: String
    let fingerprint: String

    private var path: String { "\(directory)/\(fingerprint)" }

    /// nil where the server has not been asked yet.
    public func load() -> Account? {
        guard let bytes = try? PrivateFile.read(path, .readable), let account = Account(parsing: bytes),
            account.name != nil
        else { return nil }
        return account
    }

    public func store(_ account: Account) throws {
        try PosixDisk().makeDirectories(directory)
        try PrivateFile.replace(path, with: Array(account.text.utf8))
    }
}
