internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// One log file as it was found.
struct SurveyedFile {
    /// Below the data directory.
    let path: String
    let size: UInt64
    /// nil where it can't be read.
    let header: SegmentHeader?
    /// Whose file it is, by its header, else by the directory that it lies in.
    let conversation: ConversationID?
    /// The generation in its name; nil where the name is not the one that its header asks for.
    let generation: Int?
    /// Whether it has all of its own dictionary.
    let hasDictionary: Bool
    let bodyOffset: UInt64
    /// Bytes that belong to no block.
    let loose: [Range<UInt64>]
    /// How many whole blocks stand in it.
    let blockCount: Int
    /// A file of another store.
    let isForeign: Bool

    /// Whether rows of an index can lead to its blocks.
    var isPlaced: Bool { header != nil && generation != nil && !isForeign }
}

/// A block that is whole to its last message, and where it was found.
struct SurveyedBlock {
    /// The number of its file.
    let file: Int
    let place: BlockPlace
    let dictionary: DictionaryID
    let content: SealedContent
    let events: [GroupHistory.Event]

    var header: BlockHeader { place.header }
}

/// All log files of a data directory, read block by block. Changes nothing.
struct LogSurvey {
    private(set) var files: [SurveyedFile] = []
    /// Whole blocks by their conversation, in the order of files and places.
    private(set) var blocks: [ConversationID: [SurveyedBlock]] = [:]
    /// Things under `logs/` that are no log file of ours.
    private(set) var strays: [String] = []
    /// The store that most of the files are of; nil without files.
    private(set) var store: StoreID?
    /// Where dictionaries stand that were found whole.
    private var dictionaryFiles: [DictionaryID: String] = [:]

    private let root: String
    private let disk: any Disk
    /// For the second copies of dictionaries.
    private let connection: Connection?
    /// More than any file of ours can have; what lies behind is looked at no more.
    private static let maximumBytes = 32 << 20

    /// - Parameters:
    ///   - store: whose files to take; nil to go by the majority.
    ///   - connection: an index whose copies of dictionaries may be used.
    init(_ root: String, store: StoreID?, disk: any Disk, connection: Connection?) throws {
        (self.root, self.disk, self.connection, self.store) = (root, disk, connection, store)
        let paths = try list()
        if store == nil { self.store = try majority(paths) }
        var unread: [(file: Int, place: BlockPlace)] = []
        for path in paths { unread += try take(path) }
        // A block that was moved, or whose dictionary is damaged here and whole elsewhere.
        for (file, place) in unread { try retry(file, place) }
    }

    private func list() throws -> [String] {
        let logs = root + "/logs"
        guard try disk.information(logs)?.isDirectory == true else { return [] }
        var paths: [String] = []
        func walk(_ path: String) throws {
            for name in try disk.list(root + "/" + path) where path != "logs" || name != "epoch" {
                let inner = path + "/" + name
                guard let found = try disk.information(root + "/" + inner) else { continue }
                if found.isDirectory { try walk(inner) } else if found.isRegular { paths.append(inner) }
            }
        }
        try walk("logs")
        return paths
    }

    private func majority(_ paths: [String]) throws -> StoreID? {
        var counts: [StoreID: Int] = [:]
        for path in paths {
            if let segment = try? Segment.open(at: root + "/" + path, on: disk) {
                counts[segment.header.store, default: 0] += 1
            }
        }
        return counts.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key
    }

    private func read(_ path: String) throws -> (contents: SegmentContents, size: UInt64) {
        let file = try disk.open(root + "/" + path, .read)
        let size = try file.size()
        let bytes = try FileCopy.read(file, count: Int(clamping: min(size, UInt64(Self.maximumBytes))), at: 0)
        return (SegmentContents(bytes, path: root + "/" + path), size)
    }

    /// - Returns: blocks whose dictionary is not at hand.
    private mutating func take(_ path: String) throws -> [(file: Int, place: BlockPlace)] {
        let (contents, size) = try read(path)
        let parts = path.split(separator: "/")
        let conversation = contents.header?.conversation ?? parts.dropLast().last.flatMap { ConversationID(hex: $0) }
        guard contents.header != nil || !contents.blocks.isEmpty else {
            strays.append(path)
            return []
        }
        var loose = contents.loose.map { UInt64($0.lowerBound)..<UInt64($0.upperBound) }
        if size > UInt64(contents.bytes.count) { loose.append(UInt64(contents.bytes.count)..<size) }
        let generation = contents.header.flatMap { LogSurvey.generation(path, $0) }
        let isForeign = contents.header.map { store != nil && $0.store != store } ?? false
        files.append(
            SurveyedFile(
                path: path, size: size, header: contents.header, conversation: conversation, generation: generation,
                hasDictionary: contents.dictionary != nil, bodyOffset: UInt64(contents.bodyOffset), loose: loose,
                blockCount: contents.blocks.count, isForeign: isForeign))
        if let own = contents.dictionary, own.id != .none { dictionaryFiles[own.id] = path }
        if isForeign { return [] }
        var unread: [(file: Int, place: BlockPlace)] = []
        for place in contents.blocks {
            let dictionary = dictionary(place.header.dictionary, contents)
            guard let dictionary, let id = self.conversation(of: place.header, conversation) else {
                unread.append((files.count - 1, place))
                continue
            }
            add(contents.block(place), at: place, in: files.count - 1, of: id, dictionary)
        }
        return unread
    }

    private mutating func retry(_ file: Int, _ place: BlockPlace) throws {
        guard let id = conversation(of: place.header, files[file].conversation) else { return }
        let (contents, _) = try read(files[file].path)
        var dictionary = dictionary(place.header.dictionary, contents)
        if dictionary == nil, let other = dictionaryFiles[place.header.dictionary] {
            dictionary = try read(other).contents.dictionary
        }
        if let dictionary { add(contents.block(place), at: place, in: file, of: id, dictionary) }
    }

    /// Adds a block if it is whole to the last message.
    private mutating func add(
        _ block: Block, at place: BlockPlace, in file: Int, of id: ConversationID, _ dictionary: LogDictionary
    ) {
        guard let records = try? block.verify(with: dictionary) else { return }
        blocks[id, default: []].append(
            SurveyedBlock(
                file: file, place: place, dictionary: dictionary.id, content: SealedContent(records),
                events: GroupHistory.events(in: records)))
    }

    /// A block says half of the id; the whole stands in the headers of files.
    private func conversation(of header: BlockHeader, _ expected: ConversationID?) -> ConversationID? {
        if let expected, expected.high == header.conversationPrefix { return expected }
        return files.compactMap(\.conversation).first { $0.high == header.conversationPrefix }
    }

    private func dictionary(_ id: DictionaryID, _ contents: SegmentContents) -> LogDictionary? {
        if id == .none { return LogDictionary.none }
        if let own = contents.dictionary, own.id == id { return own }
        return connection.flatMap { try? ArchiveRows.dictionary(id, on: $0) }
    }

    /// A dictionary wherever it stands whole.
    func dictionary(_ id: DictionaryID) throws -> LogDictionary? {
        if id == .none { return LogDictionary.none }
        if let copy = connection.flatMap({ try? ArchiveRows.dictionary(id, on: $0) }) { return copy }
        guard let path = dictionaryFiles[id] else { return nil }
        return try read(path).contents.dictionary
    }

    /// The bytes of a block that was found.
    func bytes(of block: SurveyedBlock) throws -> Block {
        let file = try disk.open(root + "/" + files[block.file].path, .read)
        let bytes = try file.read(count: block.header.totalLength, at: block.place.offset)
        return Block(header: block.header, stored: Array(bytes.dropFirst(BlockHeader.byteCount)))
    }

    /// The generation in a file's name, if the rest of the path is as the header asks for.
    private static func generation(_ path: String, _ header: SegmentHeader) -> Int? {
        guard let dash = path.lastIndex(of: "-"),
            let generation = Int(path[path.index(after: dash)...].dropLast(4), radix: 16),
            Segment.name(of: header.conversation, firstSeq: header.firstSeq, generation: generation) == path
        else { return nil }
        return generation
    }
}
