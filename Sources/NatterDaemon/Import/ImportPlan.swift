internal import NatterCommandLine
internal import NatterModel
internal import NatterStore

/// Where each channel of a file goes.
struct ImportPlan {
    struct Target {
        let conversation: String
        var channels: [ImportSpool.Channel]
        var people: ImportedPeople {
            ImportedPeople(
                members: channels.flatMap(\.members.members), topic: channels.lazy.compactMap(\.members.topic).first)
        }
        /// The channel that gave it its name, if no operand and no option did.
        var namesake: String?
    }

    private(set) var targets: [Target] = []
    /// The places of targets, by the keys of their names.
    private var places: [String: Int] = [:]
    /// Channels that go nowhere, with the user who has no account.
    private(set) var refused: [(channel: ImportSpool.Channel, user: String)] = []

    /// - Parameters:
    ///   - destination: where everything goes; nil to go by the names of the channels.
    ///   - map: conversations by the names of channels.
    ///   - accounts: the names of all users.
    /// - Throws: 65 if a name can't be that of a conversation, or if two channels would be mixed; 67 for a user who is not there.
    init(
        _ channels: [ImportSpool.Channel], into destination: String?, map: [String: String], accounts: [String]
    ) throws {
        let users = Dictionary(accounts.map { (NameRule.caseKey($0), $0) }) { first, _ in first }
        if let destination {
            targets = [Target(conversation: destination, channels: channels)]
            try ImportPlan.check(destination, users)
            return
        }
        for conversation in map.values { try ImportPlan.check(conversation, users) }
        var nameless: [String] = []
        for channel in channels {
            if let conversation = map[channel.name] ?? map["#" + channel.name] {
                add(channel, to: conversation)
            } else if let people = channel.people {
                let found = people.map { users[NameRule.caseKey(Normalization.formC($0))] }
                if let missing = zip(people, found).first(where: { $0.1 == nil })?.0 {
                    refused.append((channel, missing))
                } else if let first = found.first ?? nil, let last = found.last ?? nil {
                    try name(channel, "@\(first),@\(last)")
                }
            } else if let name = ImportPlan.groupName(channel.name) {
                try self.name(channel, name)
            } else {
                nameless.append(channel.name)
            }
        }
        if !nameless.isEmpty { throw ImportPlan.failure(nameless) }
    }

    /// Adds a channel to the conversation of its own name.
    ///
    /// - Throws: 65 if another channel has that, too.
    private mutating func name(_ channel: ImportSpool.Channel, _ name: String) throws {
        let index = add(channel, to: name)
        if let other = targets[index].namesake {
            throw CommandFailure(
                .invalidData, code: "ambiguous_channel",
                "'\(other)' and '\(channel.name)' would both become '\(name)'; give one of them another name with "
                    + "--map '\(channel.name)=CONV'")
        }
        targets[index].namesake = channel.name
    }

    private static func failure(_ nameless: [String]) -> CommandFailure {
        guard nameless.count > 1 else {
            let channel = nameless.first ?? ""
            return CommandFailure(
                .invalidData, code: "bad_name",
                "no conversation can be named after '\(channel)'; give it a name with --map '\(channel)=CONV'")
        }
        // A file may have thousands of chats, and their titles any length.
        let names = nameless.prefix(20).map { "'\(String($0.unicodeScalars.prefix(100)))'" }.joined(separator: ", ")
        return CommandFailure(
            .invalidData, code: "bad_name",
            .plural(
                UInt64(nameless.count),
                "no conversation can be named after \(nameless.count) channel: \(names); give it a name with --map "
                    + "CHANNEL=CONV",
                "no conversations can be named after \(nameless.count) channels: \(names); give each of them a name with "
                    + "--map CHANNEL=CONV"))
    }

    /// Whether there can be such a conversation. The importer finds the same, but only when others are imported already.
    private static func check(_ conversation: String, _ users: [String: String]) throws {
        if NameRule.isGeneral(conversation) { return }
        guard conversation.hasPrefix("@") else {
            do throws(NameError) { return try NameRule.check(conversation) } catch {
                throw StoreError.badName(conversation, error)
            }
        }
        for user in try StoreExporter.names(conversation) where users[NameRule.caseKey(user)] == nil {
            throw StoreError.noSuchUser(user)
        }
    }

    /// - Returns: the place of the target.
    @discardableResult
    private mutating func add(_ channel: ImportSpool.Channel, to conversation: String) -> Int {
        let key = NameRule.caseKey(conversation)
        if let index = places[key] {
            targets[index].channels.append(channel)
            return index
        }
        places[key] = targets.count
        targets.append(Target(conversation: conversation, channels: [channel]))
        return targets.count - 1
    }

    /// A name that a group can have: without the `#` of a channel and without what nobody sees, with `-` for white space.
    ///
    /// - Returns: nil if too little is left, or too much.
    private static func groupName(_ channel: String) -> String? {
        var name = ""
        for scalar in Normalization.formC(channel).unicodeScalars {
            if name.isEmpty, NameRule.forbiddenFirstCharacters.contains(scalar) || scalar.properties.isWhitespace {
                continue
            }
            if scalar.properties.isWhitespace || scalar == "/" || scalar == "," {
                name += "-"
            } else if ![.control, .format].contains(scalar.properties.generalCategory),
                NameRule.lookalike(scalar) == nil
            {
                name.unicodeScalars.append(scalar)
            }
        }
        while name.hasSuffix("-") { name.removeLast() }
        if NameRule.isGeneral(name) { return NameRule.general }
        // Without an invisible character between them, a letter and its mark may have another form C.
        name = Normalization.formC(name)
        return (try? NameRule.check(name)) == nil ? nil : name
    }
}
