"""Balances, credits and counts of addresses by the released Python SDK."""

import pytest
from aiohttp import ClientResponseError
from aleph.sdk.query.filters import (
    AddressesFilter,
    BalanceFilter,
    ChainBalancesFilter,
    SortByMessageType,
    SortOrder,
)
from aleph_message.models import Chain
from network import eventually, run


def test_a_balance(network, stranger):
    address = stranger.get_address()

    async def scenario():
        async with network.reader() as client:
            empty = await client.get_balances(address)
            assert (empty.address, empty.balance, empty.locked_amount, empty.credit_balance) == (address, 0, 0, 0)
            assert empty.details == {}
            await network.give_tokens({address: 1234.5})
            await network.give_tokens({address: 0.25}, chain="AVAX")
            await network.give_credits([address], amount=777)
            full = await client.get_balances(address)
            assert float(full.balance) == 1234.75 and full.credit_balance == 777
            assert {chain: float(amount) for chain, amount in full.details.items()} == {"ETH": 1234.5, "AVAX": 0.25}
            on_avalanche = await client.get_balances(address, filter=BalanceFilter(chain=Chain.AVAX))
            assert float(on_avalanche.balance) == 0.25 and on_avalanche.credit_balance == 777
            assert (await client.get_balances(address, filter=BalanceFilter(chain=Chain.SOL))).balance == 0
            assert (await client.get_balances(address, filter=BalanceFilter())).balance == full.balance
        async with network.reader(1) as there:
            await eventually(lambda: there.get_balances(address), lambda found: found == full)

    run(scenario())


def test_what_is_stored_locks_tokens(network, stranger):
    address = stranger.get_address()

    async def scenario():
        await network.give_tokens({address: 10})
        async with network.client(stranger) as client:
            message, _ = await client.create_store(file_content=bytes(3 * 1024 * 1024), channel="TEST", sync=True)
            balance = await client.get_balances(address)
            price = await client.get_program_price(message.item_hash)
            assert balance.locked_amount == price.required_tokens
            assert float(price.required_tokens) == pytest.approx(3 / 3, rel=1e-6)
            assert (balance.balance, price.payment_type) == (10, "hold")

    run(scenario())


def test_balances_of_all(network):
    """Pages over what the foundation gave, chosen by chain and by amount."""
    from aleph.sdk.chains.common import generate_key
    from aleph.sdk.chains.ethereum import ETHAccount

    addresses = sorted(ETHAccount(generate_key()).get_address() for _ in range(5))

    async def scenario():
        # A chain that no other test uses, so that the list is exact.
        amounts = {address: 10 * (index + 1) for index, address in enumerate(addresses)}
        await network.give_tokens(amounts, chain="METIS")
        async with network.reader() as client:

            async def found(page=1, page_size=100, **wanted):
                chosen = ChainBalancesFilter(chains=[Chain.METIS], **wanted)
                return await client.get_chain_balances(page_size=page_size, page=page, filter=chosen)

            answer = await found()
            assert [(item.address, float(item.balance)) for item in answer.balances] == list(amounts.items())
            assert {item.chain for item in answer.balances} == {Chain.METIS}
            assert (answer.pagination_total, answer.pagination_item) == (5, "balances")
            second = await found(page_size=2, page=2)
            assert [item.address for item in second.balances] == addresses[2:4]
            assert (second.pagination_page, second.pagination_per_page, second.pagination_total) == (2, 2, 5)
            rich = await found(min_balance=30)
            assert [item.address for item in rich.balances] == addresses[2:]
            assert (await found(min_balance=51)).balances == []
            every = await client.get_chain_balances(page_size=1000)
            assert set(network.addresses) <= {item.address for item in every.balances}
            assert {Chain.ETH, Chain.METIS} <= {item.chain for item in every.balances}
            both = ChainBalancesFilter(chains=[Chain.METIS, Chain.ETH])
            assert (await client.get_chain_balances(filter=both)).pagination_total > 5
            with pytest.raises(ValueError, match="min_balance"):
                ChainBalancesFilter(min_balance=0)

    run(scenario())


def test_credit_history(network, stranger):
    address = stranger.get_address()

    async def scenario():
        async with network.reader() as client:
            with pytest.raises(ClientResponseError) as refused:
                await client.get_credit_history(address)
            assert refused.value.status == 404
            posts = [await network.give_credits([address], amount=amount) for amount in (100, 200, 300)]
            answer = await client.get_credit_history(address)
            assert (answer.address, answer.pagination_total) == (address, 3)
            assert [item.amount for item in answer.credit_history] == [300, 200, 100]
            newest = answer.credit_history[0]
            assert newest.credit_ref == posts[2].item_hash and newest.credit_index == 0
            assert (newest.token, newest.chain, newest.provider, newest.tx_hash) == ("ALEPH", "ETH", "TEST", "0x1")
            assert newest.payment_method == "TEST_PAYMENT" and newest.expiration_date is None
            assert newest.message_timestamp.timestamp() == pytest.approx(posts[2].content.time, abs=1e-3)
            second = await client.get_credit_history(address, page_size=2, page=2)
            assert [item.amount for item in second.credit_history] == [100]
            assert (second.pagination_page, second.pagination_per_page) == (2, 2)

    run(scenario())


def test_counts_of_an_address(network, stranger):
    address = stranger.get_address()

    async def scenario():
        await network.give_tokens({address: 10})
        async with network.client(stranger) as client:
            chosen = AddressesFilter(address_contains=address[2:20].lower())
            assert (await client.get_address_stats(filter=chosen)).data == {}
            for number in range(2):
                post, _ = await client.create_post({"n": number}, "note", channel="TEST", sync=True)
            await client.create_aggregate("k", {"a": 1}, channel="TEST", sync=True)
            await client.create_store(file_content=b"counted", channel="TEST", sync=True)
            await client.forget([post.item_hash], "a test", channel="TEST", sync=True)
            answer = await eventually(
                lambda: client.get_address_stats(filter=chosen),
                lambda answer: answer.data and answer.data[address].messages == 4,
            )
            counts = answer.data[address]
            assert (counts.post, counts.aggregate, counts.store, counts.forget) == (1, 1, 1, 1)
            assert (counts.program, counts.instance, counts.v_program) == (0, 0, 0)
            assert (answer.pagination_total, answer.pagination_item) == (1, "addresses")

    run(scenario())


@pytest.mark.parametrize("sort_by", list(SortByMessageType))
def test_counts_in_order(network, account, sort_by):
    async def scenario():
        async with network.reader() as client:
            if sort_by == SortByMessageType.V_PROGRAM:
                # The newest client offers an order that no released node knows; its refusal is recorded.
                with pytest.raises(ClientResponseError) as refused:
                    await client.get_address_stats(filter=AddressesFilter(sort_by=sort_by))
                assert refused.value.status == 422
                return
            for order, falls in ((SortOrder.DESCENDING, True), (SortOrder.ASCENDING, False)):
                chosen = AddressesFilter(sort_by=sort_by, sort_order=order)
                answer = await client.get_address_stats(page_size=50, filter=chosen)
                name = "messages" if sort_by == SortByMessageType.TOTAL else sort_by.value
                counts = [getattr(item, name) for item in answer.data.values()]
                assert counts and counts == sorted(counts, reverse=falls)
            pages = [await client.get_address_stats(page_size=1, page=page) for page in (1, 2)]
            assert len({address for page in pages for address in page.data}) == 2
            assert (pages[1].pagination_page, pages[1].pagination_per_page) == (2, 1)

    run(scenario())
