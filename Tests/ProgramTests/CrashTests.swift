internal import Glibc
internal import Testing
internal import TestSupport

@Suite("a kill at any moment")
struct CrashTests {
    @Test(
        "of the server, during an edit, a deletion, a mark or a change of a group: it is done or it is not, and done if acknowledged",
        arguments: UInt64(1)...3)
    func changes(seed: UInt64) throws {
        let world = try World()
        var generator = SeededGenerator(seed: seed)
        for number in 1...6 { try world.alice.sends("\(number)") }
        try expect(world.alice("group", "create", "ops-0"))
        let token = try world.alice.token()
        func get(_ path: String) throws -> (status: Int, body: JSON) {
            let answer = try RawRequest.send("GET", path, to: world.url, token: token)
            return (answer.status, try JSON(parsing: answer.text))
        }
        func message(_ number: Int) throws -> JSON {
            let path = "/v1/conversations/general/messages?after=\(number - 1)&limit=1&fold=1"
            return try #require(try get(path).body[objects: "messages"].first)
        }
        /// Runs a command while the server is killed, and asks whether its change is there.
        func kill(_ words: [String], _ isDone: () throws -> Bool) throws -> Bool {
            let process = try world.alice.start(words + ["--timeout", "2"])
            usleep(UInt32.random(in: 0...25_000, using: &generator))
            world.killServer()
            let outcome = process.finish()
            try world.serve()
            let isThere = try isDone()
            #expect(outcome.code == 0 ? isThere : [69, 75].contains(outcome.code), "\(words): \(outcome)")
            return isThere
        }
        var (done, read, group) = (0, 0, "ops-0")
        for round in 1...3 {
            let (edited, deleted, name) = (round, round + 3, "ops-\(round)")
            let isEdited = try kill(["edit", "\(edited)", "new"]) { try message(edited)[string: "text"] == "new" }
            #expect(try message(edited)[string: "text"] == (isEdited ? "new" : "\(edited)"))
            #expect(try message(edited).names.contains("edited") == isEdited)
            let isDeleted = try kill(["delete", "\(deleted)"]) { try message(deleted)[bool: "deleted"] == true }
            #expect(try message(deleted)[string: "text"] == (isDeleted ? "" : "\(deleted)"))
            func mark() throws -> Int { try get("/v1/conversations/general").body[int: "read"] ?? -1 }
            let isMarked = try kill(["mark", "general", "\(round)"]) { try mark() == round }
            #expect(try mark() == (isMarked ? round : read))
            let isRenamed = try kill(["group", "rename", group, name]) {
                try get("/v1/conversations/\(name)").status == 200
            }
            #expect(try get("/v1/conversations/\(group)").status == (isRenamed ? 404 : 200))
            done += [isEdited, isDeleted].count { $0 }
            read = isMarked ? round : read
            group = isRenamed ? name : group
        }
        // Each change that is there is one record, and a replica has the same history.
        #expect(try get("/v1/conversations/general").body[int: "head"] == 6 + done)
        try expect(world.alice("sync"))
        try expect(world.alice("verify"))
        world.stopServing()
        #expect(try world.natterd("fsck").code == 0)
    }

    @Test("of registering: the account can be used or its name is free", arguments: UInt64(1)...2)
    func registering(seed: UInt64) throws {
        let world = try World()
        var generator = SeededGenerator(seed: seed)
        for number in 1...4 {
            let dora = world.person("dora\(number)")
            let process = try dora.start(["register", dora.name, "--password-stdin"], input: World.typed)
            usleep(UInt32.random(in: 0...200_000, using: &generator))
            process.finish(after: SIGKILL)
            // The server may still be busy with the request, or have never received it. Either way the name is this user's.
            let again = try dora.enter("register", dora.name)
            #expect([0, 65].contains(again.code), "\(again.errors)")
            try expectSuccess(dora.enter("login", dora.name))
            #expect(try dora("whoami").code == 0)
        }
    }
}
