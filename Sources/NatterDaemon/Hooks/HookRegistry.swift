internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// All hooks of a store. Each is a file `DIR/hooks/ID.json`, mode 0600, because it holds the key of the signature. Its first line is
/// the hook, and its second the CRC-32C of the first: a flipped bit in a number would make a hook pass over messages.
///
/// One process has it at a time: the server, or a command that has the store open. Thread-safe.
final class HookRegistry: Sendable {
    private static let fileLimit = 1 << 20
    /// Each hook has a thread.
    static let limit = 64

    private let directory: String
    private let disk: any Disk
    private let hooks: Monitor<[String: Hook]>
    /// The errors of files that are no hooks, by their names without the extension. The server runs without them.
    private let damaged: Monitor<[String: CommandFailure]>

    /// - Throws: `DiskError`.
    init(of root: String, disk: any Disk) throws {
        directory = root + "/hooks"
        self.disk = disk
        var found: [String: Hook] = [:]
        var damaged: [String: CommandFailure] = [:]
        if try disk.information(directory)?.isDirectory == true {
            for name in try disk.list(directory) where name.hasSuffix(".json") {
                let id = String(name.dropLast(".json".count))
                let path = directory + "/" + name
                do throws(DiskError) {
                    found[id] = try HookRegistry.hook(id, in: path, disk)
                    if found[id] != nil { continue }
                    damaged[id] = CommandFailure(
                        .inputOutput, code: "damaged",
                        "'\(path)' is damaged; remove it with 'natterd hook rm \(id)', and add the hook again")
                } catch {
                    // A process without descriptors would take all of its hooks for damaged.
                    if error.code == .tooManyOpenFiles { throw error }
                    damaged[id] = CommandFailure(
                        .inputOutput, code: "damaged",
                        "\(error); this hook does not run: remove it with 'natterd hook rm \(id)', and add it again")
                }
            }
        }
        (hooks, self.damaged) = (Monitor(found), Monitor(damaged))
    }

    /// - Returns: nil for a file that is no hook.
    private static func hook(_ id: String, in path: String, _ disk: any Disk) throws(DiskError) -> Hook? {
        let bytes: [UInt8]
        do { bytes = try disk.contents(of: path, limit: fileLimit) } catch  where error.code == .fileTooLarge {
            return nil
        }
        let lines = bytes.split(separator: 0x0A, maxSplits: 1, omittingEmptySubsequences: false).map { Array($0) }
        guard let hook = try? WireJSON.decode(Hook.self, from: lines[0]), hook.id == id, hook.isSound,
            // Without the second line, somebody has written it by hand.
            lines.dropFirst().allSatisfy(\.isEmpty) || bytes == contents(lines[0])
        else { return nil }
        return hook
    }

    /// The bytes of the file of a hook.
    private static func contents(_ json: [UInt8]) -> [UInt8] {
        json + Array("\n\(Hex.encode(Checksum.crc32c(json)))\n".utf8)
    }

    /// The files that are no hooks, as damage for a check.
    var damages: [StoreDamage] {
        damaged.withLock { $0.sorted { $0.key < $1.key } }.map {
            StoreDamage(file: path($0.key), problem: $0.value.message)
        }
    }

    /// The errors of files that are no hooks.
    var failures: [CommandFailure] { damaged.withLock { $0.sorted { $0.key < $1.key } }.map(\.value) }

    var all: [Hook] { hooks.withLock { $0.values.sorted { $0.id < $1.id } } }

    /// - Throws: 67.
    func hook(_ id: String) throws(CommandFailure) -> Hook {
        guard let hook = hooks.withLock({ $0[id] }) else {
            throw CommandFailure(
                .notFound, code: "no_such_hook", "there is no hook '\(id)'; 'natterd hook ls' lists them")
        }
        return hook
    }

    func add(_ hook: Hook) throws {
        try hooks.withLock { hooks in
            guard hooks.count < HookRegistry.limit else {
                throw CommandFailure(
                    .invalidData, code: "too_many", "there are \(HookRegistry.limit) hooks, the most that a server has")
            }
            try disk.makeDirectories(directory)
            try save(hook)
            hooks[hook.id] = hook
        }
    }

    /// Removes a hook, or a file that should have been one.
    ///
    /// - Returns: the hook; nil if its file was damaged.
    @discardableResult
    func remove(_ id: String) throws -> Hook? {
        let isDamaged = damaged.withLock { $0.keys.contains(id) }
        let hook = isDamaged ? nil : try hook(id)
        try hooks.withLock { hooks in
            // A hook whose file stays would be back after a restart.
            try disk.removeIfThere(path(id))
            try disk.syncDirectory(directory)
            hooks[id] = nil
        }
        damaged.withLock { _ = $0.removeValue(forKey: id) }
        return hook
    }

    /// Changes a hook durably.
    ///
    /// - Parameter isDelivery: whether the change counts until this process ends even if it can't be written. Otherwise a full disk
    ///   would have the same message delivered again and again.
    /// - Returns: the hook; nil if it is not there any more.
    @discardableResult
    func update(_ id: String, isDelivery: Bool = false, _ change: (inout Hook) -> Void) throws -> Hook? {
        try hooks.withLock { hooks in
            guard var hook = hooks[id] else { return nil }
            change(&hook)
            if isDelivery { hooks[id] = hook }
            try save(hook)
            hooks[id] = hook
            return hook
        }
    }

    /// Notes whether a hook's next message can be read.
    func note(_ id: String, readable reason: String?, at now: Timestamp) {
        try? hooks.withLock { hooks in
            guard var hook = hooks[id], hook.readable(reason, at: now) else { return }
            hooks[id] = hook
            try save(hook)
        }
    }

    private func save(_ hook: Hook) throws(DiskError) {
        try disk.replaceContents(of: path(hook.id), with: HookRegistry.contents(WireJSON.encode(hook)))
    }

    private func path(_ id: String) -> String { "\(directory)/\(id).json" }
}
