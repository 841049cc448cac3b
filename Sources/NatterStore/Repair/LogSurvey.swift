internal import NatterConversation
internal import NatterSQLite
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// One log file as it was found.
struct SurveyedFile {
    /// The path below the data directory.
    let path: String
    let size: UInt64
    /// nil if it can't be read.
    let header: SegmentHeader?
    /// The conversation in the header, otherwise the one in the directory's name.
    let conversation: ConversationID?
    /// The generation in the file's name; nil if the name does not match the header.
    let generation: Int?
    /// Whether its own dictionary is complete.
    let hasDictionary: Bool
    let bodyOffset: UInt64
    /// Bytes that belong to no block.
    let loose: [Range<UInt64>]
    /// The number of whole blocks in it.
    let blockCount: Int
    /// Whether it belongs to another store.
    let isForeign: Bool

    /// Whether rows of an index can point to its blocks.
    var isPlaced: Bool { header != nil && generation != nil && !isForeign }
}

/// A block whose messages were all verified, and the place where it was found.
struct SurveyedBlock {
    /// The index of its file in `files`.
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
    /// The indices of each conversation's files in `files`.
    private(set) var filesOf: [ConversationID: [Int]] = [:]
    /// Whole blocks by conversation, in the order of files and offsets.
    private(set) var blocks: [ConversationID: [SurveyedBlock]] = [:]
    /// Files under `logs/` that are not log files of this store.
    private(set) var strays: [String] = []
    /// The store that most files belong to; nil if there are no files.
    private(set) var store: StoreID?
    /// Files that contain a whole dictionary.
    private var dictionaryFiles: [DictionaryID: String] = [:]

    private let root: String
    private let disk: any Disk
    /// The index with the second copies of dictionaries.
    private let connection: Connection?
    /// No log file of this store is longer. Bytes behind this are not read.
    static let maximumBytes = 32 << 20

    /// - Parameters:
    ///   - store: only files of this store are taken; nil for the store of most files.
    ///   - connection: an index whose copies of dictionaries may be used.
    init(_ root: String, store: StoreID?, disk: any Disk, connection: Connection?) throws {
        (self.root, self.disk, self.connection, self.store) = (root, disk, connection, store)
        let paths = try list()
        if store == nil { self.store = try majority(paths) }
        var unread: [(file: Int, place: BlockPlace)] = []
        for path in paths { unread += try surveyFile(path) }
        // Tries again: the block was moved, or its dictionary is damaged here and whole in another file.
        for (file, place) in unread { try retry(file, place) }
    }

    /// The conversations of all blocks, and of files that say that a log begins with them.
    var conversations: Set<ConversationID> {
        Set(blocks.keys).union(
            files.compactMap { $0.isPlaced && $0.header?.isBeginning == true ? $0.conversation : nil })
    }

    /// The headers of the files of a conversation.
    func headers(of id: ConversationID) -> [SegmentHeader] {
        (filesOf[id] ?? []).lazy.map { files[$0] }.filter { !$0.isForeign }.compactMap(\.header)
    }

    private func list() throws -> [String] {
        let marks = ["epoch", "epoch.new"].map { root + "/logs/" + $0 }
        return try StoreCheck.logFiles(root, disk).subtracting(marks).sorted()
            .filter { try disk.information($0)?.isRegular == true }.map { String($0.dropFirst(root.count + 1)) }
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
        try LogSurvey.contents(of: root + "/" + path, disk)
    }

    static func contents(of path: String, _ disk: any Disk) throws -> (contents: SegmentContents, size: UInt64) {
        let file = try disk.open(path, .read)
        let size = try file.size()
        let bytes = try FileCopy.read(file, count: Int(clamping: min(size, UInt64(maximumBytes))), at: 0)
        return (SegmentContents(bytes, path: path), size)
    }

    /// - Returns: blocks whose dictionary was not found.
    private mutating func surveyFile(_ path: String) throws -> [(file: Int, place: BlockPlace)] {
        let (contents, size) = try read(path)
        let parts = path.split(separator: "/")
        let conversation = contents.header?.conversation ?? parts.dropLast().last.flatMap { ConversationID(hex: $0) }
        guard contents.header != nil || !contents.blocks.isEmpty else {
            strays.append(path)
            return []
        }
        var loose = contents.loose.map { UInt64($0.lowerBound)..<UInt64($0.upperBound) }
        if size > UInt64(contents.bytes.count) { loose.append(UInt64(contents.bytes.count)..<size) }
        let generation = contents.header?.generation(ofName: path)
        let isForeign = contents.header.map { store != nil && $0.store != store } ?? false
        if let conversation { filesOf[conversation, default: []].append(files.count) }
        files.append(
            SurveyedFile(
                path: path, size: size, header: contents.header, conversation: conversation, generation: generation,
                hasDictionary: contents.dictionary != nil, bodyOffset: UInt64(contents.bodyOffset), loose: loose,
                blockCount: contents.blocks.count, isForeign: isForeign))
        if let own = contents.dictionary, own.id != .none { dictionaryFiles[own.id] = path }
        if isForeign { return [] }
        var unread: [(file: Int, place: BlockPlace)] = []
        for place in contents.blocks {
            let dictionary = try dictionary(place.header.dictionary, contents)
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
        if let dictionary = try dictionary(place.header.dictionary, contents) {
            add(contents.block(place), at: place, in: file, of: id, dictionary)
        }
    }

    /// Adds a block if all its messages can be verified.
    private mutating func add(
        _ block: Block, at place: BlockPlace, in file: Int, of id: ConversationID, _ dictionary: LogDictionary
    ) {
        guard let records = try? block.verify(with: dictionary) else { return }
        blocks[id, default: []].append(
            SurveyedBlock(
                file: file, place: place, dictionary: dictionary.id, content: SealedContent(records),
                events: GroupHistory.events(in: records)))
    }

    /// A block contains half of the id. The headers of files have all of it.
    private func conversation(of header: BlockHeader, _ expected: ConversationID?) -> ConversationID? {
        if let expected, expected.high == header.conversationPrefix { return expected }
        return files.compactMap(\.conversation).first { $0.high == header.conversationPrefix }
    }

    /// Finds a whole copy of a dictionary, in the file that names it, in the index or in another file.
    func dictionary(_ id: DictionaryID, _ contents: SegmentContents? = nil) throws -> LogDictionary? {
        if id == .none { return LogDictionary.none }
        if let own = contents?.dictionary, own.id == id { return own }
        if let copy = connection.flatMap({ try? ArchiveRows.dictionary(id, on: $0) }) { return copy }
        guard let path = dictionaryFiles[id] else { return nil }
        return try read(path).contents.dictionary
    }

    func bytes(of block: SurveyedBlock) throws -> Block {
        let file = try disk.open(root + "/" + files[block.file].path, .read)
        let bytes = try file.read(count: block.header.totalLength, at: block.place.offset)
        return Block(header: block.header, stored: Array(bytes.dropFirst(BlockHeader.byteCount)))
    }

    /// Whether a block can be read and has these records under their seqs.
    func agrees(_ block: SurveyedBlock, with records: [Record]) -> Bool {
        guard let dictionary = try? dictionary(block.header.dictionary),
            let found = try? bytes(of: block).open(with: dictionary)
        else { return false }
        return HashChain.agree(found, records)
    }
}
