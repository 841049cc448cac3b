internal import CGettext
internal import Glibc
internal import Synchronization

/// The translations of one language, as glibc's gettext finds them.
///
/// The locale is `C.UTF-8`, which is always there, and `LANGUAGE` names the catalogue: so it works where no locale was
/// generated.
public struct Catalogue: Sendable {
    /// What to look for.
    public struct Choice: Sendable {
        /// Most wanted first, such as `["pt_BR", "pt"]`; none for English.
        public let languages: [String]
        /// Where the catalogues lie.
        public let directory: String
        /// The name of the files, such as `natter` for `DIR/ru/LC_MESSAGES/natter.mo`.
        public let domain: String

        public init(languages: [String], directory: String, domain: String) {
            (self.languages, self.directory, self.domain) = (languages, directory, domain)
        }
    }

    private enum State: Sendable {
        case undecided(@Sendable () -> Choice)
        case decided(Catalogue?)
    }

    private static let state = Mutex(State.decided(nil))

    /// Says how to find out which language to speak. It is asked once, when something is to be said: a command that says
    /// nothing, or prints only what others wrote, does not pay for it.
    public static func choose(_ choice: @escaping @Sendable () -> Choice) {
        state.withLock { $0 = .undecided(choice) }
    }

    /// nil for English.
    static var current: Catalogue? {
        state.withLock { state in
            switch state {
            case .decided(let catalogue): return catalogue
            case .undecided(let choice):
                let catalogue = Catalogue(choice())
                state = .decided(catalogue)
                return catalogue
            }
        }
    }

    /// Whether people are spoken to in another language than English.
    public static var isInUse: Bool { current != nil }

    private let languages: String
    private let domain: String

    private init?(_ choice: Choice) {
        guard !choice.languages.isEmpty, Self.setLocale() else { return nil }
        languages = choice.languages.joined(separator: ":")
        domain = choice.domain
        bindtextdomain(domain, choice.directory)
        bind_textdomain_codeset(domain, "UTF-8")
    }

    /// gettext looks for no catalogue in the locale `C`, whatever `LANGUAGE` says; in any other it does.
    private static func setLocale() -> Bool {
        for name in ["C.UTF-8", "C.utf8", "", "en_US.UTF-8"] {
            guard let given = setlocale(LC_MESSAGES, name) else { continue }
            if !["C", "POSIX"].contains(String(cString: given)) { return true }
        }
        return false
    }

    /// - Returns: nil where the catalogue has none.
    func translation(of key: String) -> String? {
        key.withCString { key in asking { found(dgettext(domain, key), key) } }
    }

    /// - Returns: nil where the catalogue has none.
    func translation(of key: String, _ other: String, count: UInt) -> String? {
        key.withCString { key in
            other.withCString { other in
                asking {
                    let words = dngettext(domain, key, other, count)
                    return words == UnsafeMutablePointer(mutating: other) ? nil : found(words, key)
                }
            }
        }
    }

    private func found(_ words: UnsafeMutablePointer<CChar>?, _ key: UnsafePointer<CChar>) -> String? {
        guard let words, words != UnsafeMutablePointer(mutating: key) else { return nil }
        return String(cString: words)
    }

    /// `LANGUAGE` is changed only while gettext reads it, since the commands that natter runs for a person inherit the
    /// environment.
    private func asking(_ body: () -> String?) -> String? {
        Self.asking.withLock { _ in
            let former = getenv("LANGUAGE").map { String(cString: $0) }
            if former == languages { return body() }
            setenv("LANGUAGE", languages, 1)
            defer { if let former { setenv("LANGUAGE", former, 1) } else { unsetenv("LANGUAGE") } }
            return body()
        }
    }

    /// For one thread at a time: the environment is the process's.
    private static let asking = Mutex(())
}
