internal import NatterCommandLine
internal import NatterClient
internal import NatterSystem
internal import NatterHTTP
internal import NatterModel

/// `profile ls|add|set|rm`: the accounts of a home directory, as git has remotes.
enum ProfileCommand {
    static let spec = CommandSpec(
        "profile", "keep several accounts and servers", group: NatterProgram.Group.account, bare: "ls",
        subcommands: [list, add, set, remove],
        description: [
            "A profile is an account on a server, with settings of its own. Choose one with --profile or "
                + "NATTER_PROFILE; without either, natter uses 'default'.",
            "The keys are: server, its address. ca-file, the certificate authorities to trust, an absolute path. fingerprint, the only "
                + "certificate to trust, as 'sha256:HEX'. lang and "
                + "color, like the options.",
        ],
        examples: [
            Example("natter profile add work server=https://chat.example.org", "prepare a second server"),
            Example("natter login alice --profile work", "log in to it"),
            Example("natter profile set work server=https://new.example.org", "go on after the server has moved"),
        ])

    private static let newName = OperandSpec.required("NAME", "the profile")
    private static let knownName = OperandSpec.required("NAME", names: .profiles, "the profile")
    private static let pairsHelp: Phrase =
        "server, ca-file, fingerprint, lang or color; an empty value removes it, other than the server"

    private static let list = CommandSpec(
        "ls", "list the profiles",
        description: [
            "Print each profile's name, '*' for the one in use, the account, the server, and the other settings. With "
                + "--json: the objects."
        ],
        run: inContext(list))

    private static let add = CommandSpec(
        "add", "make a profile", operands: [newName, .optional("KEY=VALUE", isRepeating: true, pairsHelp)],
        run: inContext { context in
            try change(context) { account in
                guard account == nil else {
                    throw CommandFailure(
                        .invalidData, code: "name_taken",
                        "the profile '\(context.arguments.required("NAME"))' exists; use 'natter profile set'")
                }
                return Account(server: try context.address(remembered: nil).description, name: nil, store: nil)
            }
            return .success
        })

    private static let set = CommandSpec(
        "set", "change a profile's settings",
        operands: [knownName, .required("KEY=VALUE", isRepeating: true, pairsHelp)],
        description: [
            "Change settings. If you give another server, the session continues if that server has the same store. "
                + "Otherwise the status is 77 and nothing changes, because a token is never sent to another server."
        ],
        run: inContext { context in
            let name = context.arguments.required("NAME")
            try change(context) { account in
                guard let account else { throw missing(name) }
                return account
            }
            return .success
        })

    private static let remove = CommandSpec(
        "rm", "remove a profile", operands: [knownName],
        description: ["Remove a profile and end its session. Messages that it has synced stay."],
        run: inContext { context in
            let name = context.arguments.required("NAME")
            let home = try context.home()
            let profile = try home.profile(name)
            guard try home.profileNames().contains(name) else { throw missing(name) }
            try Question.confirm("remove the profile '\(name)' and its session?", context.arguments, context.console)
            // The profile goes in any case, and nobody has the token any more.
            do {
                let (account, token) = try profile.credentials()
                context.endFormerSession(token, of: account)
                context.noteWaiting(account)
            } catch ProfileError.notLoggedIn {
            } catch {
                context.note("the session could not be ended: \(CommandFailure(error).message)")
            }
            try profile.removeAll()
            return .success
        })

    private static func missing(_ name: String) -> CommandFailure {
        CommandFailure(.notFound, code: "no_such_profile", "there is no profile '\(name)'; 'natter profile' lists them")
    }

    private struct ProfileObject: Encodable {
        var name: String
        var current: Bool
        var account: String?
        var server: String?
        var settings: [String: String]
    }

    private static func list(_ context: Context) throws -> ExitCode {
        let home = try context.home()
        let current = try context.profile().name
        var objects: [ProfileObject] = []
        for name in try home.profileNames() {
            // A damaged profile is listed, so that it can be removed.
            let account = try? home.profile(name).account()
            objects.append(
                ProfileObject(
                    name: name, current: name == current, account: account?.name, server: account?.server,
                    settings: account?.settings ?? [:]))
        }
        try context.list(
            objects,
            [
                Column("NAME") { $0.name }, Column("") { $0.current ? "*" : "" },
                Column("ACCOUNT") { $0.account ?? "" },
                Column("SERVER") { $0.server ?? "" },
                Column("SETTINGS") { object in
                    object.settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
                },
            ])
        return .success
    }

    /// Writes the pairs of the command line into the account that `base` makes of the present one.
    private static func change(_ context: Context, _ base: (Account?) throws -> Account) throws {
        let arguments = context.arguments
        let pairs = try Array(arguments.operands("KEY=VALUE")).map { try pair($0, context) }
        let profile = try context.home().profile(arguments.required("NAME"))
        let present = try profile.account()
        var account = try base(present)
        for (key, value) in pairs {
            if key != "server" {
                account.settings[key] = value.isEmpty ? nil : value
            } else {
                account.server = try ServerAddress(url: value).description
            }
        }
        if let present, present.server != account.server { try prove(account, profile, context) }
        let result = account
        try profile.change { now in
            guard now == present else { throw ProfileError.locked(path: profile.directory) }
            return result
        }
    }

    /// Checks that the new address of a session has the store that the token belongs to.
    private static func prove(_ account: Account, _ profile: Profile, _ context: Context) throws {
        guard account.name != nil else { return }
        let known: (account: Account, token: Token)
        // A token that can't be read now may be later.
        do { known = try profile.credentials() } catch ProfileError.notLoggedIn { return }
        var api = known.account
        api.settings = account.settings
        _ = try context.api(at: try ServerAddress(url: account.server), token: known.token, of: api).whoami()
    }

    private static func pair(_ word: String, _ context: Context) throws -> (String, String) {
        let arguments = context.arguments
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let keys = ["server"] + Account.settingNames
        guard parts.count == 2, let key = parts.first, let value = parts.last else {
            throw arguments.error("'\(word)' is not KEY=VALUE")
        }
        guard keys.contains(key) else {
            throw arguments.error("'\(key)' is not a setting of a profile\(NearestWords.hint(for: key, among: keys))")
        }
        if !value.isEmpty || key == "server" { try Setting(rawValue: key)?.checkNew(value) }
        if key == "fingerprint", !value.isEmpty, let print = try context.fingerprint(value) { return (key, "\(print)") }
        return (key, value)
    }
}
