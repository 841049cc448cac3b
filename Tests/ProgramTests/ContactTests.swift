internal import Testing
internal import TestSupport

@Suite("contact, block, unblock, and sending to users who are offline")
struct ContactTests {
    private let world: World

    init() throws { world = try World() }

    /// Dora, who has an account and has never synced.
    private func addDora() throws {
        try expect(world.natterd("user", "add", "dora", "--password-stdin", input: World.typed), hasNotes: true)
    }

    /// Name and state of each line.
    private func listed(_ person: Person, _ words: String...) throws -> [String] {
        let outcome = try person.run(words)
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        return outcome.lines.map { line in
            line.split(separator: " ", omittingEmptySubsequences: true).prefix(2).joined(separator: " ")
        }
    }

    @Test("contacts are kept on the server: add them, list them with presence, remove them")
    func contacts() throws {
        try addDora()
        try expect(world.bob("whoami"), isSilent: false)
        try expect(world.alice("contact", "add", "dora", "@bob"))
        #expect(try listed(world.alice, "contact", "ls") == ["bob online", "dora offline"])
        #expect(try world.alice("contact", "ls").lines.last?.hasSuffix("-") == true)
        let objects = try world.alice("contact", "ls", "--json").objects()
        #expect(objects.map(\.names) == Array(repeating: ["display", "last_seen", "name", "online"], count: 2))
        // Adding twice and removing a missing contact are no errors
        try expect(world.alice("contact", "add", "bob"))
        try expect(world.alice("contact", "remove", "bob", "carol"))
        #expect(try listed(world.alice, "contact", "ls") == ["dora offline"])
        #expect(try listed(world.bob, "contact", "ls") == [])
    }

    @Test("a personal message makes its sender a contact")
    func added() throws {
        try world.bob.sends("hello", to: "@alice")
        #expect(try listed(world.alice, "contact", "ls") == ["bob online"])
        // But not one that is changed or taken back
        try expect(world.alice("contact", "remove", "bob"))
        try expect(world.bob("edit", "-c", "@alice", "1", "hi"))
        try expect(world.bob("delete", "-c", "@alice", "1"))
        #expect(try listed(world.alice, "contact", "ls") == [])
        try world.bob.sends("again", to: "@alice")
        try world.alice.sends("note", to: "@me")
        try world.carol.sends("for all")
        #expect(try listed(world.alice, "contact", "ls") == ["bob online"])
    }

    @Test("a message to an offline user arrives with their next sync; the note about it is for a terminal alone")
    func away() throws {
        try addDora()
        let note = "natter: dora is not online; the message is delivered when dora syncs"
        for words in [["pm", "dora", "one"], ["send", "-c", "@dora", "two"], ["pm", "dora", "--queue", "three"]] {
            let outcome = try world.alice.run(words)
            #expect(outcome.code == 0 && outcome.bytes.isEmpty && outcome.errors.isEmpty)
        }
        let object = try world.alice("pm", "dora", "four", "--json")
        #expect(object.errors.isEmpty)
        #expect(try Screen.show(world.alice, ["pm", "dora", "on a terminal"]).text.contains(note))
        #expect(try object.objects().first?[string: "text"] == "four")
        try expect(world.alice("pm", "dora", "five", "--quiet"))
        // Nothing of it where it would say nothing
        _ = try world.bob("whoami")
        try expect(world.alice("pm", "bob", "you are there"))
        try expect(world.alice("pm", "me", "a note"))
        try expect(world.alice("send", "for all"))
        // Dora comes
        let dora = world.person("dora")
        #expect(try dora.enter("login", "dora").code == 0)
        #expect(try dora.texts("log", "@alice") == ["one", "two", "three", "four", "on a terminal", "five"])
        try expect(world.alice("pm", "dora", "now you are"))
    }

    @Test("a blocked user gets a kind refusal and can do everything else; after unblock they can write again")
    func block() throws {
        try world.bob.sends("before", to: "@alice")
        try expect(world.alice("block", "bob"))
        #expect(try listed(world.alice, "block") == ["bob online"])
        #expect(try world.alice("block", "--json").objects().map { $0[string: "name"] } == ["bob"])
        let refused = try world.bob("pm", "alice", "are you there?")
        #expect(refused.code == 77 && refused.errors == "natter: '@alice' does not take messages from you\n")
        let told = try JSON(parsing: world.bob("pm", "alice", "x", "--json").errors)
        #expect(told[object: "error"]?[string: "code"] == "blocked")
        // Earlier messages stay, general is for all, and alice can write
        try world.bob.sends("for all")
        try world.alice.sends("to you", to: "@bob")
        #expect(try world.alice.texts("log", "--all") == ["before", "for all", "to you"])
        #expect(try world.bob("block").bytes.isEmpty)
        try expect(world.alice("unblock", "@bob"))
        #expect(try world.alice("block").bytes.isEmpty)
        try world.bob.sends("again", to: "@alice")
        #expect(try world.alice.texts("log", "@bob") == ["before", "to you", "again"])
    }
}
