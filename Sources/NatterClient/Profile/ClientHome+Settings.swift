internal import NatterLanguage
internal import NatterSystem

/// `HOME/config`: what somebody has set once for all commands.
extension ClientHome {
    private static let lockMilliseconds = 10_000

    public var settingsPath: String { "\(path)/config" }

    /// The text of the file; nil if there is none, which costs one attempt to open it.
    ///
    /// - Throws: `ProfileError.unsafe` where others could have changed it, since it may say where to send a token.
    public func settings() throws -> String? {
        let bytes: [UInt8]
        do throws(PrivateFile.Problem) {
            bytes = try PrivateFile.read(settingsPath, .readable)
        } catch {
            switch error {
            case .missing: return nil
            case .unsafe(let problem, let remedy):
                throw ProfileError.unsafe(path: settingsPath, problem: problem, remedy: remedy)
            case .failed(let error): throw error
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ProfileError.unsafe(path: settingsPath, problem: "is not UTF-8", remedy: "remove it and set all anew")
        }
        return text
    }

    /// Puts another text in its place, in one step and durably; of several processes each sees what the one before wrote.
    public func changeSettings(_ change: (String) -> String) throws {
        try PosixDisk().makeDirectories(path)
        let lockPath = "\(path)/config.lock"
        guard let lock = try FileLock.take(lockPath, timeoutMilliseconds: ClientHome.lockMilliseconds) else {
            throw ProfileError.locked(path: lockPath)
        }
        defer { withExtendedLifetime(lock) {} }
        try PrivateFile.replace(settingsPath, with: Array(change(try settings() ?? "").utf8))
    }
}
