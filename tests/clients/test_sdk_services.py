"""The services of the released Python SDK: prices, settings, runtimes, ports, placement, vouchers, names."""

import json

import pytest
from aleph.sdk.chains.common import generate_key
from aleph.sdk.chains.ethereum import ETHAccount
from aleph.sdk.client.services.crn import CrnList
from aleph.sdk.client.services.pricing import PAYG_GROUP, PRICING_GROUPS, GroupEntity, PricingEntity
from aleph.sdk.client.services.runtimes import RuntimeType
from aleph.sdk.exceptions import MethodNotAvailableOnCRN, VmNotFoundOnHost
from aleph.sdk.types import PortFlags, Ports, VmResources
from aleph_message.models import Chain
from aleph_message.models.execution.base import Payment, PaymentType
from network import ROOT, eventually, run
from pydantic import ValidationError

REFERENCE = json.loads((ROOT / "vectors/clients/reference_aggregates.json").read_text())
UNKNOWN = "0" * 63 + "2"


@pytest.fixture(scope="module", autouse=True)
def published(network):
    """What the foundation of the public network publishes, by the foundation here."""
    runtimes = {"entries": [
        {"id": "debian", "name": "Debian", "type": "instance", "item_hash": "a" * 64, "default": True},
        {"id": "ubuntu", "name": "Ubuntu", "type": "instance", "item_hash": "b" * 64},
        {"id": "python", "name": "Python", "type": "program", "item_hash": "c" * 64},
    ]}

    # Newer than the recording, and demanded by the newest client.
    settings = {**REFERENCE["settings"], "last_crn_version": "1.2.3"}

    async def publish():
        async with network.client(network.foundation) as client:
            for key, content in (("pricing", REFERENCE["pricing"]), ("settings", settings), ("runtimes", runtimes)):
                await client.create_aggregate(key, content, channel="FOUNDATION", sync=True)

    run(publish())


def test_prices(network):
    async def scenario():
        async with network.reader() as client:
            pricing = await client.pricing.get_pricing_aggregate()
            assert {entity.value for entity in pricing} == set(REFERENCE["pricing"])
            program = pricing[PricingEntity.PROGRAM]
            assert str(program.price["compute_unit"].holding) == REFERENCE["pricing"]["program"]["price"]["compute_unit"]["holding"]
            groups = PRICING_GROUPS[GroupEntity.PROGRAM]
            for known in (None, pricing):
                chosen = await client.pricing.get_pricing_for_services(groups, pricing_info=known)
                assert list(chosen) == groups
            assert set(PAYG_GROUP) <= set(PRICING_GROUPS[GroupEntity.ALL])
            instance = pricing[PricingEntity.INSTANCE]
            tier = instance.get_closest_tier(vcpus=2, memory_mib=4096)
            assert tier.extract_tier_id() == "2" and tier.compute_units == 2
            specs = instance.get_services_specs(tier)
            assert (specs.vcpus, specs.memory_mib) == (2, 4096)

    run(scenario())


def test_settings_and_runtimes(network):
    async def scenario():
        async with network.reader() as client:
            settings = await client.network_settings.get_settings_aggregate()
            assert settings.community_wallet_address == REFERENCE["settings"]["community_wallet_address"]
            assert len(settings.compatible_gpus) == len(REFERENCE["settings"]["compatible_gpus"])
            config = await client.network_settings.get_config(network.foundation.get_address())
            assert config.data == [settings]
            assert (await client.network_settings.get_config(network.addresses[9])).data is None

            aggregate = await client.runtimes.get_runtimes_aggregate()
            assert [entry.id for entry in aggregate.entries] == ["debian", "ubuntu", "python"]
            assert [entry.id for entry in await client.runtimes.get_runtimes()] == ["debian", "ubuntu", "python"]
            assert [entry.id for entry in await client.runtimes.get_runtimes(RuntimeType.PROGRAM)] == ["python"]
            assert (await client.runtimes.get_default_runtime(RuntimeType.INSTANCE)).id == "debian"
            assert await client.runtimes.get_default_runtime(RuntimeType.PROGRAM) is None

    run(scenario())


def test_ports(network, stranger):
    owner = stranger.get_address()
    first = Ports(ports={80: PortFlags(tcp=True, udp=False), 53: PortFlags(tcp=True, udp=True)})
    second = Ports(ports={8080: PortFlags(tcp=True, udp=False)})

    async def scenario():
        async with network.client(stranger) as client:
            ports = client.port_forwarder
            assert (await ports.get_address_ports()).data is None
            assert (await ports.get_ports(item_hash=UNKNOWN)).ports == {}
            await ports.create_ports(UNKNOWN, first)
            await eventually(lambda: ports.get_ports(item_hash=UNKNOWN), lambda found: found == first)
            await ports.update_ports(UNKNOWN, second)
            await eventually(lambda: ports.get_ports(item_hash=UNKNOWN), lambda found: found == second)
            [forwarders] = (await ports.get_address_ports(owner)).data
            assert list(forwarders.root) == [UNKNOWN]
            # The released client "deletes" by writing the same ports again: what it signs shows it.
            message, _ = await ports.delete_ports(UNKNOWN)
            assert message.content.content == {UNKNOWN: second.model_dump()}
            with pytest.raises(ValueError):
                await ports.get_ports()
        async with network.reader() as reader:
            assert await reader.port_forwarder.get_ports(UNKNOWN, owner) == second
            assert (await reader.port_forwarder.get_address_ports(owner)).data == [forwarders]

    run(scenario())


@pytest.fixture(scope="module")
def placed(network):
    """An instance that holds no node and one that asks for the node of this network."""
    from aleph_message.models.execution.environment import HostRequirements, NodeRequirements

    owner = ETHAccount(generate_key())
    credit = Payment(chain=Chain.ETH, type=PaymentType.credit, receiver=None)
    node = HostRequirements(node=NodeRequirements(node_hash=network.compute_hashes[0]))

    async def create():
        await network.give_tokens({owner.get_address(): 100})
        await network.give_credits([owner.get_address()], amount=10**12)
        async with network.client(owner) as client:
            rootfs, _ = await client.create_store(file_content=b"a disk", channel="TEST", sync=True)
            message, _ = await client.create_instance(
                rootfs.item_hash, 20_480, payment=credit, channel="TEST", sync=True, requirements=node,
                metadata={"name": "placed"},
            )
            return message

    return owner, run(create())


def test_the_scheduler(network):
    async def scenario():
        async with network.reader() as client:
            nodes = await client.scheduler.get_nodes()
            assert [(node.node_id, node.url.rstrip("/")) for node in nodes.nodes] == [
                (network.compute_hashes[0], network.compute[0])
            ]
            assert nodes.get_url(network.compute_hashes[0]) and nodes.get_url(UNKNOWN) is None
            plan = await client.scheduler.get_plan()
            assert set(plan.plan) == set(network.compute_hashes)
            assert await client.scheduler.get_allocation(UNKNOWN) is None

    run(scenario())


def test_compute_nodes(network):
    async def scenario():
        async with network.reader() as client:
            nodes = await client.crn.get_crns_list()
            assert isinstance(nodes, CrnList)
            [node] = nodes.crns
            assert (node.hash, node.address.rstrip("/")) == (network.compute_hashes[0], network.compute[0])
            assert (await client.crn.get_crns_list(only_active=False)).crns[0].hash == node.hash
            assert nodes.find_crn(crn_hash=node.hash) == nodes.find_crn_by_hash(node.hash) == node
            assert nodes.find_crn(address=node.address) == nodes.find_crn_by_address(node.address) == node
            assert nodes.find_crn() is None
            assert node.system_usage.cpu.count >= 1 and node.system_usage.mem.total_kB > 0
            assert nodes.filter_crn(vm_resources=VmResources(vcpus=1, memory=1, disk_mib=1)) == [node]
            assert nodes.filter_crn(vm_resources=VmResources(vcpus=10_000, memory=1, disk_mib=1)) == []
            assert nodes.filter_crn(gpu=True) == [] and nodes.filter_crn(confidential=True) == []
            gpus = await client.crn.fetch_gpu_on_network()
            assert gpus.total_gpu_count == nodes.find_gpu_on_network().total_gpu_count == 0
            assert await client.crn.get_last_crn_version() == "1.2.3"
            # What is no node in such a list is left out.
            document = network.get("/crns.json")
            assert CrnList.from_api({"crns": [*document["crns"], {"hash": "no node"}]}) == nodes

    run(scenario())


def test_what_runs_on_a_compute_node(network):
    async def scenario():
        async with network.reader() as client:
            [url] = network.compute
            assert (await client.crn.get_active_vms_v2(url)).root == {}
            assert (await client.crn.get_active_vms(url)).root == {}
            assert (await client.crn.get_active_vms_v1(url)).root == {}
            assert await client.crn.get_vm(url, UNKNOWN) is None
            with pytest.raises(VmNotFoundOnHost):
                await client.crn.update_instance_config(url, UNKNOWN)
            assert issubclass(MethodNotAvailableOnCRN, Exception)

    run(scenario())


def test_where_an_instance_is(network, placed):
    owner, message = placed

    async def scenario():
        async with network.reader() as client:
            instances = await client.instance.get_instances(owner.get_address())
            assert [item.item_hash for item in instances] == [message.item_hash]
            assert await client.instance.get_name_of_executable(message.item_hash) == "placed"
            nodes = await client.crn.get_crns_list(only_active=False)
            found, where = await client.instance.get_instance_allocation_info(instances[0], nodes)
            assert found.item_hash == message.item_hash
            assert (where.source, where.crn_url.rstrip("/")) == ("manual", network.compute[0])
            allocations = await client.instance.get_instances_allocations(instances)
            assert allocations.root[message.item_hash] == where
            executions = await client.instance.get_instance_executions_info(allocations)
            # Nothing was allocated.
            assert executions.root == {}

    run(scenario())


METADATA = {
    "name": "Voucher", "description": "d", "external_url": "https://x", "image": "i", "icon": "c",
    "attributes": [{"value": "30", "trait_type": "Duration"}],
}


def test_vouchers(network, internet, stranger):
    """EVM vouchers are posts of one account of the public network; those of Solana are a document of a third party."""
    evm, sol = stranger.get_address(), "So11111111111111111111111111111111111111112"
    internet.documents["claim.twentysix.cloud", "/sbt/metadata/7.json"] = METADATA
    internet.documents["api.claim.twentysix.cloud", "/v1/registry/sol"] = {
        "claimed_tickets": {"t1": {"claimer": sol, "batch_id": 3}, "t2": {"claimer": "other", "batch_id": 3}},
        "batches": {"3": {"metadata_id": "7"}},
    }

    async def scenario():
        from aleph.sdk.conf import settings

        settings.VOUCHER_ORIGIN_ADDRESS = network.foundation.get_address()
        async with network.client(network.foundation) as client:
            vouchers = {"nft_vouchers": {
                "v1": {"claimer": evm, "metadata_id": "7"}, "v2": {"claimer": "0x0", "metadata_id": "7"},
                "v3": {"claimer": evm, "metadata_id": "not there"},
            }}
            await client.create_post(vouchers, "vouchers-update", channel="FOUNDATION", sync=True)
        async with network.reader() as client:
            service = client.voucher
            assert (await service.fetch_voucher_metadata("7")).name == "Voucher"
            assert await service.fetch_voucher_metadata("not there") is None
            for ask, ids in (
                (service.get_evm_vouchers(evm), ["v1"]),
                (service.get_vouchers(evm), ["v1"]),
                (service.fetch_vouchers_by_chain(Chain.ETH, evm), ["v1"]),
                (service.get_solana_vouchers(sol), ["t1"]),
                (service.get_vouchers(sol), ["t1"]),
                (service.fetch_vouchers_by_chain(Chain.SOL, sol), ["t1"]),
            ):
                assert [voucher.id for voucher in await ask] == ids
        async with network.client(stranger) as client:
            assert [voucher.id for voucher in await client.voucher.get_vouchers()] == ["v1"]
            assert [voucher.id for voucher in await client.voucher.get_evm_vouchers()] == ["v1"]
            assert await client.voucher.get_solana_vouchers() == []

    run(scenario())


def test_names_of_instances_are_broken_in_the_client(network, internet):
    """It decodes the answer twice: a list, which the service sends, is refused; only a text of a list passes."""
    entry = {"name": "vm", "item_hash": UNKNOWN, "ipv4": None, "ipv6": "::1"}
    place = ("api.dns.public.aleph.sh", "/instances/list")

    async def scenario():
        async with network.reader() as client:
            internet.documents[place] = [entry]
            for ask in (client.dns.get_public_dns, lambda: client.dns.get_public_dns_by_host("h"),
                        lambda: client.dns.get_dns_for_instance(UNKNOWN)):
                with pytest.raises(ValidationError, match="JSON input should be string"):
                    await ask()
            internet.documents[place] = json.dumps([entry])
            assert [found.name for found in await client.dns.get_public_dns()] == ["vm"]
            assert [found.name for found in await client.dns.get_public_dns_by_host("h")] == ["vm"]
            assert [found.name for found in await client.dns.get_dns_for_instance(UNKNOWN)] == ["vm"]

    run(scenario())
