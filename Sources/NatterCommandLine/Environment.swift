internal import Glibc
internal import NatterModel

/// Environment variables, and the directories that they determine. An empty variable counts as unset.
public struct Environment: Sendable {
    private enum Source: Sendable {
        case process
        case values([String: String])
    }
    private let source: Source
    private let accounts: String

    /// The environment of this process. Each variable is read on demand.
    public static let process = Environment(source: .process, accounts: "/etc/passwd")

    /// An environment for tests.
    public init(_ values: [String: String], accounts: String = "/etc/passwd") {
        self.init(source: .values(values), accounts: accounts)
    }

    private init(source: Source, accounts: String) { (self.source, self.accounts) = (source, accounts) }

    public subscript(name: String) -> String? { exact(name).flatMap { $0.isEmpty ? nil : $0 } }

    /// A variable for which an empty value has a meaning.
    public func exact(_ name: String) -> String? {
        switch source {
        case .process: getenv(name).map { String(cString: $0) }
        case .values(let values): values[name]
        }
    }

    /// The name of a file or directory.
    ///
    /// - Throws: 64 if it is not UTF-8. Another directory than the one that is meant must not be used.
    public func path(_ name: String) throws(CommandFailure) -> String? {
        if case .process = source, let value = getenv(name), String(validatingCString: value) == nil {
            throw CommandFailure(.usage, code: "usage", "the value of \(name) is not UTF-8")
        }
        return self[name]
    }

    /// `HOME`, else the home directory in /etc/passwd.
    ///
    /// - Throws: 78 if neither names an absolute path.
    public func home() throws(CommandFailure) -> String {
        if let home = try path("HOME"), home.hasPrefix("/") { return home }
        if let home = homeOfAccount() { return home }
        throw CommandFailure(.configuration, code: "no_home", "cannot find the home directory; set HOME or give --home")
    }

    /// `$XDG_DATA_HOME`, else `~/.local/share`.
    public func dataHome() throws(CommandFailure) -> String { try directory("XDG_DATA_HOME", else: ".local/share") }

    /// `$XDG_CONFIG_HOME`, else `~/.config`.
    public func configHome() throws(CommandFailure) -> String { try directory("XDG_CONFIG_HOME", else: ".config") }

    /// Ignores relative paths, as the XDG Base Directory Specification requires.
    private func directory(_ name: String, else fallback: String) throws(CommandFailure) -> String {
        if let path = try path(name), path.hasPrefix("/") { return path }
        let home = try home()
        return home.hasSuffix("/") ? home + fallback : "\(home)/\(fallback)"
    }

    /// Parses the file, because `getpwuid` loads libraries at run time, which a static program cannot rely on.
    private func homeOfAccount() -> String? {
        guard let file = fopen(accounts, "re") else { return nil }
        defer { fclose(file) }
        let user = String(getuid())
        var line = [CChar](repeating: 0, count: 4_096)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(upToNUL: line)
            let fields = text.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count == 7, fields[2] == user, fields[5].hasPrefix("/") { return String(fields[5]) }
        }
        return nil
    }
}
